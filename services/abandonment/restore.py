"""Brings the rows on disk up to the changelog: to its end before a partition is worked on, and for ever where it stands by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.abandonment.store import CartStore

BATCH = 5_000
TOO_OLD_MS = 12 * 3_600_000
"""Rows on disk older than this are read anew: the changelog keeps a tombstone for a day (changelog.py)."""
FETCH_BYTES = 4 << 20


STANDS_S = 30.0
"""Seconds without a record after which restoring begins anew, over fresh connections."""


class Standing(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """The changelog is not at its end, and nothing of it comes. Whoever restores tries again, and says so."""


class ChangelogLost(Exception):
    """The changelog ends before the rows on disk do: it was deleted or made anew. The text says what to do."""


class Changelog:
    """Reads the table's topic; only what was committed."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic

    async def restore(self, stores: Mapping[int, CartStore], remaining: Callable[[int, int], None]) -> None:
        """Apply everything that stands there now. Tells (partition, offsets that remain) on the way.

        No one else may write to these partitions any more. Raises KafkaError and ChangelogLost.
        """
        kafka = self._consumer(wait_ms=100)
        try:
            await kafka.start()
            await self._start(kafka, stores)
            ends = {place.partition: end for place, end in (await kafka.end_offsets(self._places(stores))).items()}
            for partition, store in stores.items():
                if (store.next_offset or 0) > ends[partition]:
                    raise ChangelogLost(
                        f"{self._topic}[{partition}] ends at {ends[partition]} and the rows on disk at {store.next_offset}: the"
                        " changelog was deleted or made anew. If that was meant, delete STATE_DIR; what it held is then forgotten"
                    )
            behind = set(stores)
            moved_at = monotonic()
            while behind:
                if await self._apply_next(kafka, stores):
                    moved_at = monotonic()
                for partition in tuple(behind):
                    position = await kafka.position(TopicPartition(self._topic, partition))
                    remaining(partition, max(0, ends[partition] - position))
                    if position >= ends[partition]:
                        behind.discard(partition)
                if behind and monotonic() - moved_at > STANDS_S:
                    raise Standing(f"{self._topic}{sorted(behind)} gave no record for {STANDS_S:g} s")
        finally:
            await kafka.stop()

    async def follow(self, stores: Mapping[int, CartStore]) -> None:
        """Keep the rows of partitions of other workers, until cancelled. Raises KafkaError."""
        kafka = self._consumer(wait_ms=500)
        try:
            await kafka.start()
            await self._start(kafka, stores)
            while True:
                await self._apply_next(kafka, stores)
        finally:
            await kafka.stop()

    async def _start(self, kafka: AIOKafkaConsumer, stores: Mapping[int, CartStore]) -> None:
        places = self._places(stores)
        kafka.assign(places)
        firsts = await kafka.beginning_offsets(places)
        for place in places:
            store = stores[place.partition]
            if store.kept_at < time.time() * 1000 - TOO_OLD_MS:
                store.clear()
            kafka.seek(place, max(store.next_offset or 0, firsts[place]))

    async def _apply_next(self, kafka: AIOKafkaConsumer, stores: Mapping[int, CartStore]) -> bool:
        taken = await kafka.getmany(timeout_ms=200, max_records=BATCH)
        for place, records in taken.items():
            last = records[-1]
            rows = ((record.key, record.value) for record in records)
            stores[place.partition].apply(rows, last.offset + 1, last.timestamp)
        return bool(taken)

    def _places(self, stores: Mapping[int, CartStore]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in stores]

    def _consumer(self, wait_ms: int) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=wait_ms,
            max_partition_fetch_bytes=FETCH_BYTES,
            max_poll_records=BATCH,
            request_timeout_ms=10_000,
        )
