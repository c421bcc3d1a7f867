"""One partition's records into the database: batches, retries, and what becomes of a record that cannot be handled."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord
from psycopg.pq import TransactionStatus

from trolleybus import outbox
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.consumer.metrics import ConsumerMetrics
from trolleybus.consumer.positions import Fenced, advance
from trolleybus.contracts.records import Record
from trolleybus.db import Connection, Pool, is_outage
from trolleybus.deadletter import Parking, park
from trolleybus.envelope import TRACE_HEADER, Outgoing, Raw, Received
from trolleybus.registry import RegistryError
from trolleybus.telemetry import continue_trace, get_logger
from trolleybus.topics import Topic

BatchHandler: TypeAlias = Callable[[Connection, Sequence[Received[Record]]], Awaitable[None]]
"""One partition's records, in order, inside one transaction."""

UnreadableHandler: TypeAlias = Callable[[Connection, Raw, str], Awaitable[None]]
"""An unreadable record of a topic that never skips, and why: must record a hold, in the transaction."""

log = get_logger(__name__)


class Stopping(Exception):
    """The partition is being given up: nothing new is begun."""


@dataclass(frozen=True, slots=True)
class Work:
    """What all partitions of a consumer share."""

    consumer: str
    codec: Codec
    pool: Pool
    handler: BatchHandler
    on_unreadable: UnreadableHandler | None
    metrics: ConsumerMetrics
    retries: int
    slots: asyncio.Semaphore
    committed: Callable[[], None]


@dataclass(slots=True)
class Processor:
    """Handles what is read of one partition. `position` is the offset of the first record not handled yet."""

    work: Work
    topic: Topic
    dead_letter: Topic
    partition: int
    position: int = 0
    problem: str = ""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, records: Sequence[ConsumerRecord]) -> None:
        """Returns once the effects of all records and the position after them are committed; raises Fenced or Stopping."""
        started = time.monotonic()
        items = await self._until_up(lambda: self._read(records))
        try:
            await self._until_up(lambda: self._commit(items))
        except (Fenced, Stopping):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is dealt with record by record
            log.warning("a batch failed", **self._place(), records=len(items), error=repr(error))
            for item in items:
                await self._handle_alone(item)
        self.work.metrics.batch_seconds.labels(self.work.consumer, self.topic.name).observe(time.monotonic() - started)
        self.problem = ""

    async def pass_to(self, offset: int) -> None:
        """Move the position over what is no record; raises Fenced or Stopping."""
        await self._until_up(lambda: self._move(offset))
        self.problem = ""

    async def pause(self, seconds: float) -> None:
        """Sleep; raises Stopping as soon as the partition is given up."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return
        raise Stopping

    async def _handle_alone(self, item: _Item) -> None:
        failures = 0
        while True:
            try:
                await self._until_up(partial(self._commit, [item]))
            except (Fenced, Stopping):
                raise
            except Exception as error:  # noqa: BLE001 - bad input must not stop the flow, whatever it raises
                failures += 1
                self.problem = f"{self.topic.name}/{self.partition} offset {item.raw.offset}: {error!r}"
                self._count_retry(type(error).__name__)
                log.warning(
                    "a record failed", **self._place(), offset=item.raw.offset, failures=failures, error=repr(error)
                )
                if failures >= self.work.retries and not self.topic.barrier and item.received is not None:
                    item = item.unhandled(type(error).__name__, str(error))
                    continue
                await self.pause(backoff(failures, longest=10.0))
            else:
                self.problem = ""
                return

    async def _until_up(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try for as long as the database or the registry is away: that is no record's failure."""
        failures = 0
        while True:
            if self.stopping.is_set():
                raise Stopping
            try:
                return await attempt()
            except Exception as error:
                if not (is_outage(error) or isinstance(error, RegistryError)):
                    raise
                failures += 1
                self.problem = f"{type(error).__name__}: {error}"
                self._count_retry("outage")
                log.warning("waiting for what is away", **self._place(), failures=failures, error=repr(error))
                await self.pause(backoff(failures, longest=5.0))

    async def _read(self, records: Sequence[ConsumerRecord]) -> list[_Item]:
        return [await self._read_one(record) for record in records]

    async def _read_one(self, record: ConsumerRecord) -> _Item:
        raw = Raw(
            self.topic.name,
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            {name: value or b"" for name, value in record.headers},
        )
        try:
            content = await self.work.codec.decode(record.value)
        except UnreadableRecord as error:
            return _Item(raw, None, "unreadable", str(error))
        except (TypeError, ValueError, LookupError) as error:  # Values that the record's type does not take.
            return _Item(raw, None, "unreadable", repr(error))
        if type(content) not in self.topic.records:
            return _Item(raw, None, "unreadable", f"a {type(content).__name__} does not belong on {self.topic.name}")
        return _Item(
            raw,
            Received(raw.topic, raw.partition, raw.offset, raw.appended_at, raw.key, raw.headers, content),
        )

    async def _commit(self, items: Sequence[_Item]) -> None:
        """Position, effects and parked records in one transaction."""
        following = items[-1].raw.offset + 1
        work = self.work
        async with work.slots, work.pool.connection() as conn:
            await advance(
                conn, work.consumer, self.topic.full_name, self.partition, expected=self.position, following=following
            )
            for readable, run in groupby(items, key=lambda item: item.received is not None):
                if readable:
                    await self._call([item.received for item in run if item.received is not None], conn)
                else:
                    await self._set_aside(conn, list(run))
            if conn.info.transaction_status is TransactionStatus.INERROR:
                raise RuntimeError("the handler went on after a database error: its transaction cannot be committed")
        self.position = following
        self._count(items)
        work.committed()

    async def _move(self, following: int) -> None:
        work = self.work
        async with work.slots, work.pool.connection() as conn:
            await advance(
                conn, work.consumer, self.topic.full_name, self.partition, expected=self.position, following=following
            )
        self.position = following
        work.committed()

    async def _call(self, batch: Sequence[Received[Record]], conn: Connection) -> None:
        if len(batch) == 1:
            with continue_trace(batch[0].headers.get(TRACE_HEADER)):
                await self.work.handler(conn, batch)
        else:
            await self.work.handler(conn, batch)

    async def _set_aside(self, conn: Connection, items: Sequence[_Item]) -> None:
        if self.topic.barrier and self.work.on_unreadable is not None:
            for item in items:
                await self.work.on_unreadable(conn, item.raw, item.detail)
            return
        now = int(time.time() * 1000)
        await outbox.put_outgoing(conn, [self._parked(item, now) for item in items])

    def _parked(self, item: _Item, now: int) -> Outgoing:
        raw = item.raw
        parking = Parking(
            reason=item.reason,
            detail=item.detail,
            topic=self.topic.full_name,
            partition=raw.partition,
            offset=raw.offset,
            parked_at=now,
        )
        return park(self.dead_letter.full_name, raw.key, raw.value, list(raw.headers.items()), parking)

    def _place(self) -> dict[str, Any]:
        return {"consumer": self.work.consumer, "topic": self.topic.name, "partition": self.partition}

    def _count(self, items: Sequence[_Item]) -> None:
        metrics = self.work.metrics
        metrics.handled.labels(**self._place()).inc(len(items))
        for item in items:
            if item.received is None:
                metrics.parked.labels(**self._place(), reason=item.reason).inc()
                log.error(
                    "a record was set aside",
                    **self._place(),
                    offset=item.raw.offset,
                    reason=item.reason,
                    detail=item.detail,
                )

    def _count_retry(self, reason: str) -> None:
        self.work.metrics.retries.labels(**self._place(), reason=reason).inc()


@dataclass(frozen=True, slots=True)
class _Item:
    raw: Raw
    received: Received[Record] | None  # None: to be set aside, for the reason.
    reason: str = ""
    detail: str = ""

    def unhandled(self, reason: str, detail: str) -> _Item:
        return _Item(self.raw, None, reason, detail)


def backoff(failures: int, *, longest: float) -> float:
    """Seconds to wait after the n-th failure in a row: doubling from 0.1, with jitter."""
    delay = float(min(0.1 * 2 ** min(failures - 1, 20), longest))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing


def traced(batch: Sequence[Received[Record]]) -> Iterator[Received[Record]]:
    """Iterate over a batch with each record's trace continued while it is at hand."""
    for received in batch:
        with continue_trace(received.headers.get(TRACE_HEADER)):
            yield received
