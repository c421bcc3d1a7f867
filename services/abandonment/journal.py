"""What one partition's batch made, written whole or not at all: facts, parked records and the table's rows in one transaction.

The transactional id is the partition's. Opening it fences whoever held it before: a worker that was stopped past its
session and wakes cannot write into its successor's state.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, KafkaError, ProducerFenced

from services.abandonment.changelog import LARGEST_ROW
from services.abandonment.log_ends import monotonic_ms
from trolleybus.contracts.partition import partition_of
from trolleybus.envelope import Outgoing

Row = tuple[bytes, bytes | None]

BATCH_BYTES = 400_000
"""A batch on the wire, before compression: under the brokers' default of 1 MiB for a message."""
TRANSACTION_TIMEOUT_MS = 30_000
FAREWELL_S = 2.0
"""Seconds in which what is under way may end before the connection is cut."""


class Fenced(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """Another worker has opened this partition's journal."""


class Written(NamedTuple):
    """Where the rows ended and when: the changelog's next offset, the broker's time of the append (ms), ours then
    (monotonic, ms), at the latest."""

    next_offset: int
    appended_at: int
    acked_at: int


class Journal:
    """The writer of one partition. After an error it is of no more use: a new one finds out what stands."""

    def __init__(
        self,
        bootstrap: str,
        *,
        transactional_id: str,
        changelog: str,
        partition: int,
    ) -> None:
        self._changelog = changelog
        self._partition = partition
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=BATCH_BYTES,
            compression_type="snappy",  # aiokafka's lz4 takes ten times as long: it compresses at level 9.
            max_request_size=LARGEST_ROW,
            request_timeout_ms=20_000,
        )

    async def open(self) -> None:
        """Fence the former writer, whose open transaction ends with this. Raises KafkaError."""
        await self._producer.start()
        await self._producer.begin_transaction()
        await self._producer.abort_transaction()

    async def close(self) -> None:
        """What is under way is left to the next opener, which aborts it."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._producer.stop()
        except (KafkaError, TimeoutError):
            await self._producer.client.close()  # It waits for a broker that does not answer.

    async def write(self, rows: Sequence[Row], tellings: Iterable[Outgoing]) -> Written:
        """Commit the rows, which must not be empty, and what is to be told. Raises Fenced or another KafkaError."""
        try:
            return await self._write(rows, tellings)
        except (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping) as error:
            raise Fenced(str(error)) from error

    async def _write(self, rows: Sequence[Row], tellings: Iterable[Outgoing]) -> Written:
        producer = self._producer
        await producer.begin_transaction()
        told: dict[tuple[str, int], list[tuple[bytes, bytes | None, Any]]] = defaultdict(list)
        counts: dict[str, int] = {}
        for telling in tellings:
            topic, key = telling.topic, telling.key
            if topic not in counts:
                counts[topic] = len(await producer.partitions_for(topic))
            told[topic, partition_of(key, counts[topic])].append((key, telling.value, list(telling.headers)))
        acks = [ack for place, records in told.items() for ack in await self._send(*place, records)]
        acks += await self._send(self._changelog, self._partition, [(key, value, []) for key, value in rows])
        for answer in await asyncio.gather(*(ack for ack, _ in acks), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        acked_at = monotonic_ms()
        await producer.commit_transaction()
        last, count = acks[-1][0].result(), acks[-1][1]
        return Written(last.offset + count, last.timestamp, acked_at)

    async def _send(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes | None, Any]]
    ) -> list[tuple[asyncio.Future[Any], int]]:
        """The batches' acks, each with its number of records."""
        acks = []
        batch = self._producer.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                acks.append((await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
        acks.append((await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()))
        return acks
