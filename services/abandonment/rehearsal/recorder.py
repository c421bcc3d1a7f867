"""Reads settings and cart activity from Kafka as the lines of a recording."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.abandonment.rehearsal.recording import Heading, heading_line, record_line, settings_line
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig
from trolleybus.topics import Topic, Topics

Progress = Callable[[int, int], None]
"""Told how many offsets were read, of how many."""


@dataclass(slots=True)
class Recorded:
    """What a recording holds."""

    stores: int = 0
    records: int = 0
    unreadable: int = 0


class Recorder:
    """Of one installation's topics; reads beside all groups and commits nothing."""

    def __init__(self, bootstrap: str, codec: Codec, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self._codec = codec
        self._stores = topics["stores"]
        self._activity = topics["cart.activity"]

    async def lines(
        self, recorded: Recorded, *, store_id: str, from_ms: int | None, to_ms: int | None, progress: Progress
    ) -> AsyncIterator[bytes]:
        """The whole recording up to the ends of the log as they are now; counts into `recorded`. Raises KafkaError."""
        async with self._consumer() as kafka:
            asked_at = int(time.time() * 1000)
            spans = await _spans(kafka, self._activity, from_ms, to_ms)
            until = asked_at if to_ms is None else min(to_ms, asked_at)
            yield heading_line(Heading(until=until))
            for config in await self._settings(kafka, store_id, recorded):
                recorded.stores += 1
                yield settings_line(config)
            total, read = sum(end - start for start, end in spans.values()), dict.fromkeys(spans, 0)
            prefix = f"{store_id}:".encode() if store_id else b""
            async for message in _messages(kafka, spans):
                place = TopicPartition(message.topic, message.partition)
                read[place] = message.offset + 1 - spans[place][0]
                if read[place] % 256 == 0:
                    progress(sum(read.values()), total)
                if not (message.key or b"").startswith(prefix):
                    continue
                try:
                    record = await self._codec.decode(message.value)
                except UnreadableRecord:
                    recorded.unreadable += 1
                    continue
                if isinstance(record, CartActivity):
                    recorded.records += 1
                    yield record_line(record, message.partition, message.offset, message.timestamp)
            progress(total, total)

    async def _settings(self, kafka: AIOKafkaConsumer, store_id: str, recorded: Recorded) -> list[StoreConfig]:
        """Every version of the stores, by store and version."""
        found: dict[tuple[str, int], StoreConfig] = {}
        async for message in _messages(kafka, await _spans(kafka, self._stores, None, None)):
            try:
                config = await self._codec.decode(message.value)
            except UnreadableRecord:
                recorded.unreadable += 1
                continue
            if isinstance(config, StoreConfig) and store_id in {"", config.store_id}:
                found[config.store_id, config.version] = config
        return [found[key] for key in sorted(found)]

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )
        try:
            await kafka.start()
            yield kafka
        finally:
            await kafka.stop()


async def _spans(
    kafka: AIOKafkaConsumer, topic: Topic, from_ms: int | None, to_ms: int | None
) -> dict[TopicPartition, tuple[int, int]]:
    """First offset and the one after the last, of each partition that holds any in that time."""
    places = [TopicPartition(topic.full_name, number) for number in range(topic.partitions)]
    starts = await kafka.beginning_offsets(places)
    ends = await kafka.end_offsets(places)
    if to_ms is not None:
        found = await kafka.offsets_for_times(dict.fromkeys(places, to_ms))
        ends = {place: found[place].offset if found.get(place) else ends[place] for place in places}
    if from_ms is not None:
        found = await kafka.offsets_for_times(dict.fromkeys(places, from_ms))
        starts = {place: found[place].offset if found.get(place) else ends[place] for place in places}
    return {place: (starts[place], ends[place]) for place in places if starts[place] < ends[place]}


async def _messages(kafka: AIOKafkaConsumer, spans: dict[TopicPartition, tuple[int, int]]) -> AsyncIterator[Any]:
    """The records of these spans, in the order of each partition."""
    kafka.assign(list(spans))
    for place, (start, _) in spans.items():
        kafka.seek(place, start)
    waiting = set(spans)
    while waiting:
        for place, batch in (await kafka.getmany(*waiting, timeout_ms=200)).items():
            for message in batch:
                if message.offset < spans[place][1]:
                    yield message
        for place in list(waiting):
            if await kafka.position(place) >= spans[place][1]:
                waiting.remove(place)
                kafka.pause(place)
