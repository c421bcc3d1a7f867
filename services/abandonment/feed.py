"""Reads cart.activity below Faust: the partitions of this worker, each from where its own state stands."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from trolleybus.topics import Topic

FETCH_BYTES = 2 << 20
"""Of one partition at once; above the brokers' default bound of a message."""


class Feed:
    """One connection for all partitions. `seek` says what is read; nothing else moves a position."""

    def __init__(self, bootstrap: str, topic: Topic, *, fetch_wait_ms: int, batch: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic.full_name
        self._batch = batch
        self._kafka = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=fetch_wait_ms,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=16 * FETCH_BYTES,
            request_timeout_ms=10_000,
        )

    async def open(self) -> None:
        """Connect. Raises KafkaError."""
        await self._kafka.start()

    async def bounds(self, partitions: Collection[int]) -> Mapping[int, tuple[int, int]]:
        """The first offset of each partition, and the next to be appended. Raises KafkaError."""
        places = [self._place(partition) for partition in partitions]
        firsts, ends = await self._kafka.beginning_offsets(places), await self._kafka.end_offsets(places)
        return {place.partition: (firsts[place], ends[place]) for place in places}

    def begin(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, from these offsets."""
        self._kafka.assign([self._place(partition) for partition in positions])
        for partition, offset in positions.items():
            self.seek(partition, offset)

    async def close(self) -> None:
        await self._kafka.stop()

    def seek(self, partition: int, offset: int) -> None:
        self._kafka.seek(self._place(partition), offset)

    async def take(self, partitions: Collection[int], within_ms: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        """Records of some partitions, at most `batch` in all, each partition's in order. Raises KafkaError."""
        places = [self._place(partition) for partition in partitions]
        taken = await self._kafka.getmany(*places, timeout_ms=within_ms, max_records=self._batch)
        return {place.partition: records for place, records in taken.items()}

    async def is_reachable(self) -> bool:
        """Whether Kafka answers a connection other than this one."""
        other = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, request_timeout_ms=5_000)
        try:
            async with asyncio.timeout(5):
                await other.start()
                return bool(await other.topics())
        except (KafkaError, TimeoutError):
            return False
        finally:
            await other.stop()

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
