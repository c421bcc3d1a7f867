"""How long after its due time a level stands on the topic, while others are busy and some partitions fall idle."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from random import Random

from confluent_kafka import Consumer

from tests.bench.detector.facts import header
from tests.bench.detector.mix import BROWSING, Event, kinds
from tests.bench.detector.sizes import events
from tests.bench.detector.templates import key_of
from tests.bench.detector.worker import fresh_worker
from tests.bench.detector.world import World, open_world
from tests.bench.figures import Figure
from tests.bench.ground import OTHER_CORE, Ground
from tools.oracles.reader import Decoder
from trolleybus.contracts.partition import partition_of

PER_SECOND = 10_000
EVENTS = 1_200_000
LEFT_PER_SECOND = 300
"""Carts that are opened and left, on all partitions, in the first third; then some partitions hear nothing more."""
BUSY_PARTITIONS = 8
BUSY_CARTS, LEFT_CARTS = 20_000, 1_000_000
"""Busy carts are touched every two seconds. Left ones are numbered from the latter."""
PATIENCE_S = 120
WARM_UP_MS = 5_000
"""From the first due time. Never before was a fact told by this detector, taken by this broker, or a partition of the topic
written: on the broker's one core that costs seconds, once. Those levels are counted apart."""


async def measure(ground: Ground) -> AsyncIterator[Figure]:
    """detector.due_to_topic_p50_ms, detector.due_to_topic_p99_ms."""
    seconds = events(EVENTS) // PER_SECOND
    levels = (seconds // 6, seconds // 3, seconds // 2)
    if levels[0] < 2:
        raise ValueError(f"a trial of this needs at least EVENTS={PER_SECOND * 12}")
    ground.pin(OTHER_CORE, os.getpid())
    world = await open_world(ground, "timeliness.", levels)
    await ground.pin_servers(OTHER_CORE)
    async with fresh_worker(world, "detector"):
        left = LEFT_PER_SECOND * (seconds // 3)
        reader = Reader(world, left * len(levels))
        listening = asyncio.create_task(asyncio.to_thread(reader.listen))
        print(f"  {PER_SECOND:,} events a second for {seconds} s", flush=True)
        try:
            await asyncio.to_thread(world.write, _traffic(seconds, left, world.source.partitions), PER_SECOND)
        finally:
            reader.finish()
            seen = await listening
    for figure in _figures(seen, world, seconds):
        yield figure


def _traffic(seconds: int, left: int, partitions: int) -> Iterator[Event]:
    """Every so many events one cart is left; all others keep the busy partitions busy."""
    random = Random(1)
    numbers = iter(range(BUSY_CARTS * partitions))
    busy = [
        cart for cart in numbers if partition_of(key_of(cart), partitions) < BUSY_PARTITIONS
    ][:BUSY_CARTS]  # fmt: skip
    one_in = PER_SECOND // LEFT_PER_SECOND
    leaving = iter(range(LEFT_CARTS, LEFT_CARTS + left))
    for number, kind in zip(range(seconds * PER_SECOND), kinds(random, BROWSING), strict=False):
        cart = next(leaving, None) if number % one_in == 0 else None
        yield (kind, random.choice(busy)) if cart is None else ("snapshot", cart)


Seen = tuple[bytes, int, int, int, int]
"""Of a CartAbandoned: key, partition, due time, append time, and when a reader had it (ms)."""


class Reader:
    """Reads what is committed as it comes, and decodes it afterwards. All levels of the carts that were left have to come:
    leaving out the latest ones would flatter."""

    def __init__(self, world: World, expected: int) -> None:
        self._world = world
        self._expected = expected
        self._starts = world.ends(world.told)
        self._finish_by = float("inf")

    def finish(self) -> None:
        """Wait for what is missing no longer than PATIENCE_S."""
        self._finish_by = time.monotonic() + PATIENCE_S

    def listen(self) -> list[Seen]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._world.bootstrap,
                "group.id": "trolleybus-bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.assign(self._starts)
        came = []
        missing = self._expected
        try:
            while missing or self._finish_by == float("inf"):
                messages = consumer.consume(500, timeout=0.02)
                at = time.time_ns() // 1_000_000
                levels = [one for one in messages if header(one, "ce_type").endswith(".CartAbandoned")]
                came += [(one, at) for one in levels]
                missing -= sum(int((one.key() or b"0")[-8:]) >= LEFT_CARTS for one in levels)
                if time.monotonic() > self._finish_by:
                    raise TimeoutError(
                        f"{missing} of {self._expected} levels did not come within {PATIENCE_S} s after the log"
                    )
        finally:
            consumer.close()
        decoder = Decoder(self._world.ground.env["SCHEMA_REGISTRY_URL"])
        return [
            (
                message.key() or b"",
                message.partition() or 0,
                decoder.decode(message.value() or b"")[1]["due_at"],
                message.timestamp()[1],
                at,
            )
            for message, at in came
        ]


def _figures(seen: list[Seen], world: World, seconds: int) -> Iterator[Figure]:
    early = [due - appended for _, _, due, appended, _ in seen if appended < due]
    if early:
        raise RuntimeError(f"{len(early)} of {len(seen)} levels were told early, by {max(early)} ms at most")
    warm_from = min(due for _, _, due, _, _ in seen) + WARM_UP_MS
    cold = _lateness(one for one in seen if one[2] < warm_from)
    seen = [one for one in seen if one[2] >= warm_from]
    late = _lateness(seen)
    idle = _lateness(one for one in seen if one[1] >= BUSY_PARTITIONS)
    read = sorted(at - due for _, _, due, _, at in seen)
    note = (
        f"{len(late):,} levels of {', '.join(map(str, world.levels))} s in {seconds} s while {PER_SECOND:,} events/s flow over "
        f"{BUSY_PARTITIONS} partitions and {world.source.partitions - BUSY_PARTITIONS} fall idle; from the due time to Kafka's "
        f"append. On the idle partitions p50 {_at(idle, 0.5)}, p99 {_at(idle, 0.99)} ms; until a reader of what is committed had it "
        f"p50 {_at(read, 0.5)}, p99 {_at(read, 0.99)} ms; the latest append {late[-1]} ms. Before that, the first {len(cold):,} "
        f"levels that this broker and this detector ever told: p50 {_at(cold, 0.5)}, p99 {_at(cold, 0.99)}, the latest {cold[-1]} ms"
    )
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield Figure(name=f"detector.due_to_topic_{name}_ms", value=_at(late, share), unit="ms", note=note)


def _lateness(seen: Iterable[Seen]) -> list[int]:
    return sorted(appended - due for _, _, due, appended, _ in seen)


def _at(ordered: list[int], share: float) -> int:
    return ordered[int(len(ordered) * share)] if ordered else -1
