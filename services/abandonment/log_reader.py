"""Reads a stretch of the log by itself, beside the group: what Faust dropped around a rebalance."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.abandonment.detector import Fetched
from trolleybus.topics import Topic


class LogReader:
    """Reads any stretch of one topic; a connection a stretch, for it happens rarely."""

    def __init__(self, bootstrap: str, topic: Topic, batch: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._batch = batch

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[list[Fetched]]:
        """The records from `start` up to before `end`, in batches. Offsets that hold none are passed over: when this is
        done, everything before `end` was read. Raises KafkaError."""
        place = TopicPartition(self._topic.full_name, partition)
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_poll_records=self._batch,
        )
        try:
            await kafka.start()
            kafka.assign([place])
            kafka.seek(place, start)
            while await kafka.position(place) < end:
                for records in (await kafka.getmany(timeout_ms=500)).values():
                    yield [
                        Fetched(
                            record.partition,
                            record.offset,
                            record.timestamp,
                            record.key,
                            record.value,
                            tuple((name, value or b"") for name, value in record.headers),
                        )
                        for record in records
                        if record.offset < end
                    ]
        finally:
            await kafka.stop()
