"""What stands on recovery.carts of a sample of carts, and what the reference says must stand there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from tests.bench.detector.templates import key_of
from tests.bench.detector.world import World
from tools.oracles.abandonment import detect
from tools.oracles.reader import Decoder
from trolleybus.contracts import ids

CARTS = 300
DAY_MS = 86_400_000
EXPIRY_S = 2_592_000


class WrongFacts(Exception):
    """The detector published something else than the reference; a benchmark of that is worth nothing."""


class Sample:
    """Some carts, spread evenly; their part of the log is read once."""

    def __init__(self, world: World, carts: int) -> None:
        self._world = world
        self._keys = {key_of(cart) for cart in range(0, carts, max(1, carts // CARTS))}
        self._log: list[tuple[int, dict[str, Any]]] = []

    async def check(self, since: Sequence[TopicPartition], within_s: float = 300) -> str:
        """Wait until all that is due by now is published since those offsets; a sentence for the note.

        Raises WrongFacts for what is missing, unknown or there twice.
        """
        return await asyncio.to_thread(self._check, since, within_s)

    def _check(self, since: Sequence[TopicPartition], within_s: float) -> str:
        if not self._log:
            self._log = self._read_log()
        now = time.time_ns() // 1_000_000
        expected, known = self._facts(now), self._facts(now + DAY_MS)
        found: Counter[str] = Counter()
        deadline = time.monotonic() + within_s
        starts = list(since)
        while True:
            ends = self._world.ends(self._world.told)
            for message in read(self._world, starts, ends):
                if message.key() in self._keys:
                    found[header(message, "ce_id")] += 1
            starts = ends
            if expected <= found.keys():
                break
            if time.monotonic() > deadline:
                raise WrongFacts(f"{len(expected - found.keys())} of {len(expected)} facts are missing")
            time.sleep(1)
        if unknown := found.keys() - known:
            raise WrongFacts(f"{len(unknown)} facts are unknown to the reference, as {sorted(unknown)[:3]}")
        if twice := [one for one, count in found.items() if count > 1]:
            raise WrongFacts(f"{len(twice)} facts stand twice, as {twice[:3]}")
        return f"{len(found)} facts of {len(self._keys)} carts compared with the reference id by id"

    def _read_log(self) -> list[tuple[int, dict[str, Any]]]:
        decoder = Decoder(self._world.ground.env["SCHEMA_REGISTRY_URL"])
        source = self._world.source
        starts = [TopicPartition(source.full_name, number, 0) for number in range(source.partitions)]
        log = []
        for message in read(self._world, starts, self._world.ends(source)):
            if message.key() in self._keys:
                _, values = decoder.decode(message.value() or b"")
                lines = [(line["line_id"], line["quantity"]) for line in values["lines"]]
                log.append((message.timestamp()[1], {**values, "lines": lines}))
        return log

    def _facts(self, until: int) -> set[str]:
        setting = {"levels": self._world.levels, "expiry": EXPIRY_S, "detection_from": 0}
        return {_id_of(fact) for fact in detect(self._log, {1: setting}, until)}


def read(world: World, starts: Sequence[TopicPartition], ends: Sequence[TopicPartition]) -> Iterator[Message]:
    """Committed records from offset to offset, each partition's in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": world.bootstrap,
            "group.id": "trolleybus-bench",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        left = {
            start.partition: end.offset
            for start, end in zip(starts, ends, strict=True)
            if start.offset < end.offset
        }  # fmt: skip
        consumer.assign([start for start in starts if start.partition in left])
        while left:
            for message in consumer.consume(5_000, timeout=1):
                partition, end = message.partition(), left.get(message.partition() or 0, 0)
                if message.error() is None and (message.offset() or 0) < end:
                    yield message
                if (message.offset() or 0) + (message.error() is None) >= end:
                    left.pop(partition or 0, None)
    finally:
        consumer.close()


def header(message: Message, name: str) -> str:
    """A header's text."""
    headers: Any = message.headers() or []
    return next((str(value, "utf-8") for known, value in headers if known == name), "")


def _id_of(fact: dict[str, Any]) -> str:
    episode = ids.episode(fact["store"], fact["cart"], fact["episode"])
    if fact["kind"] == "CartAbandoned":
        return ids.abandonment(episode, fact["level"])
    return ids.episode_end(episode, fact["kind"].removeprefix("Cart").lower(), fact.get("by", ""))
