"""The outbox: records are stored in the transaction of what they tell of, and sent to Kafka once that is committed.

Order: `put` takes a lock per key until its transaction ends, so within a key the order of the sequence is the order of the
commits; a relay sends a key's next record only after the ack of the one before. A relay that dies between an ack and the
delete leaves the row to the next one: the same ids may stand twice on the topic, they are the same facts.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import psycopg
from aiokafka.errors import InvalidTopicError, MessageSizeTooLargeError, RecordListTooLargeError
from prometheus_client import CollectorRegistry, Counter, Gauge

from trolleybus.contracts.records import Record
from trolleybus.db import Connection, connect, fetch_one
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

SLOTS = 4  # Key ranges; each is relayed by one process at a time. Part of the stored rows: never changed.
_CHANNEL = "outbox"
_KEY_LOCKS = 0x54424F4B  # "TBOK": lock space of keys, which share a bounded number of locks.
_SLOT_LOCKS = 0x54424F53  # "TBOS": lock space of slots.
_KEY_LOCK_COUNT = 1024
_NEVER_TAKEN = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)

log = get_logger(__name__)


async def put(conn: Connection, envelopes: Envelopes, *records: Record) -> None:
    """Store records to be sent when the transaction of `conn` commits.

    Call it once with all records of a transaction where that is possible: the locks of several calls may cross those of
    another transaction, which PostgreSQL then rolls back (the consumer tries again).
    """
    await put_outgoing(conn, [envelopes.wrap(record) for record in records])


async def put_outgoing(conn: Connection, outgoing: Sequence[Outgoing]) -> None:
    """As put, for records that are wrapped already."""
    if not outgoing:
        return
    locks = sorted({_lock_of(one) for one in outgoing})
    await conn.execute("SELECT pg_advisory_xact_lock(%s, lock) FROM unnest(%s::int[]) AS lock", [_KEY_LOCKS, locks])
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO outbox (slot, topic, key, value, header_names, header_values) VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    _lock_of(one) % SLOTS,
                    one.topic,
                    one.key,
                    one.value,
                    [name for name, _ in one.headers],
                    [value for _, value in one.headers],
                )
                for one in outgoing
            ],
        )
    await conn.execute("SELECT pg_notify(%s, '')", [_CHANNEL])


def _lock_of(one: Outgoing) -> int:
    return crc32(one.key, crc32(one.topic.encode())) % _KEY_LOCK_COUNT


class OutboxMetrics:
    """What waits in the outbox."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("trolleybus_outbox_rows", "Records waiting to be sent to Kafka.", registry=registry)
        self.refused = Gauge(
            "trolleybus_outbox_refused_rows",
            "Records that Kafka will never take; they wait for a person.",
            registry=registry,
        )
        self.age = Gauge("trolleybus_outbox_oldest_seconds", "Age of the oldest record waiting.", registry=registry)
        self.sent = Counter("trolleybus_outbox_sent", "Records sent from the outbox.", registry=registry)


@dataclass(frozen=True, slots=True)
class Row:
    """A stored record."""

    seq: int
    outgoing: Outgoing


@dataclass(slots=True)
class _Backoff:
    """A topic that did not take a record rests, so that the others go on."""

    until: float = 0.0
    delay: float = field(default=0.25)

    def failed(self, now: float) -> None:
        self.until = now + self.delay
        self.delay = min(self.delay * 2, 10.0)


class OutboxRelay:
    """Sends what is in the outbox, in batches, and deletes it after the acks. Run one in every process of a service.

    The processes share the slots; the slots of one that dies are taken by another within about a second. It owns a connection
    besides the pool: the slots' locks are held by its session. It waits for the database and for Kafka for as long as it takes.
    """

    def __init__(
        self,
        url: str,
        producer: RecordProducer,
        *,
        metrics: OutboxMetrics | None = None,
        batch: int = 500,
        poll_seconds: float = 1.0,
    ) -> None:
        self._url = url
        self._producer = producer
        self._metrics = metrics
        self._batch = batch
        self._poll = poll_seconds
        self._held: set[int] = set()
        self._resting: dict[str, _Backoff] = {}
        self._problem = "not started"
        self._measured = 0.0

    def status(self) -> PartStatus:
        """Not ready while the database or Kafka is away."""
        if self._problem:
            return PartStatus(ok=False, detail=self._problem)
        return PartStatus(ok=True, detail=f"slots {sorted(self._held)}")

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            try:
                await self._session()
            except psycopg.Error as error:
                # The table missing or the like may be cured while we wait, as an outage is.
                self._problem = f"database: {error}"
                log.warning("the outbox relay lost its database", error=str(error))
                await asyncio.sleep(self._poll)

    async def _session(self) -> None:
        conn = await connect(self._url, name="outbox relay")
        try:
            await conn.execute(f"LISTEN {_CHANNEL}")
            while True:
                taken = await self._take_a_slot(conn)
                await self._measure(conn)
                sent = await self._relay(conn)
                if sent < self._batch and not taken:
                    async for _ in conn.notifies(timeout=self._poll, stop_after=1):
                        pass
        finally:
            self._held.clear()
            await conn.close()  # Frees the slots.

    async def _take_a_slot(self, conn: Connection) -> bool:
        """One a round, so that processes that start together share them."""
        for slot in range(SLOTS):
            if slot not in self._held:
                row = await fetch_one(conn, "SELECT pg_try_advisory_lock(%s, %s) AS held", [_SLOT_LOCKS, slot])
                if row["held"]:
                    self._held.add(slot)
                    return True
        return False

    async def _relay(self, conn: Connection) -> int:
        """Send one batch; returns how many were sent."""
        now = time.monotonic()
        resting = [topic for topic, backoff in self._resting.items() if backoff.until > now]
        cursor = await conn.execute(
            "SELECT seq, topic, key, value, header_names, header_values FROM outbox"
            " WHERE slot = ANY(%s) AND refused IS NULL AND topic <> ALL(%s) ORDER BY seq LIMIT %s",
            [list(self._held), resting, self._batch],
        )
        by_topic: dict[str, list[Row]] = defaultdict(list)
        for row in await cursor.fetchall():
            by_topic[row["topic"]].append(_row(row))
        if by_topic:
            results = await asyncio.gather(*(self._send(conn, topic, rows) for topic, rows in by_topic.items()))
            self._problem = "; ".join(problem for _, problem in results if problem)
            return sum(sent for sent, _ in results)
        if not resting:
            self._problem = ""
        return 0

    async def _send(self, conn: Connection, topic: str, rows: Sequence[Row]) -> tuple[int, str]:
        """Send a topic's rows, each key's one after the other, and delete what was acknowledged."""
        sent = 0
        for wave in waves(rows):
            try:
                await self._deliver(conn, wave)
            except KafkaUnavailable as error:
                self._resting.setdefault(topic, _Backoff()).failed(time.monotonic())
                log.warning("Kafka did not take records of the outbox", topic=topic, error=str(error))
                return sent, f"{topic}: {error}"
            sent += len(wave)
        self._resting.pop(topic, None)
        return sent, ""

    async def _deliver(self, conn: Connection, rows: Sequence[Row]) -> None:
        try:
            await self._producer.send_outgoing([row.outgoing for row in rows])
        except KafkaUnavailable as error:
            if not isinstance(error.__cause__, _NEVER_TAKEN):
                raise
            if len(rows) == 1:
                await self._refuse(conn, rows[0], error)
            else:
                for row in rows:
                    await self._deliver(conn, [row])
            return
        await conn.execute("DELETE FROM outbox WHERE seq = ANY(%s)", [[row.seq for row in rows]])
        if self._metrics is not None:
            self._metrics.sent.inc(len(rows))

    async def _refuse(self, conn: Connection, row: Row, error: KafkaUnavailable) -> None:
        log.error(
            "Kafka will never take a record of the outbox", seq=row.seq, topic=row.outgoing.topic, error=str(error)
        )
        await conn.execute("UPDATE outbox SET refused = %s WHERE seq = %s", [str(error), row.seq])

    async def _measure(self, conn: Connection) -> None:
        if self._metrics is None or time.monotonic() - self._measured < 2.0:
            return
        self._measured = time.monotonic()
        row = await fetch_one(
            conn,
            "SELECT count(*) FILTER (WHERE refused IS NULL) AS waiting, count(*) FILTER (WHERE refused IS NOT NULL) AS refused,"
            " coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE refused IS NULL)), 0)::float8 AS age FROM outbox",
        )
        self._metrics.waiting.set(row["waiting"])
        self._metrics.refused.set(row["refused"])
        self._metrics.age.set(row["age"])


def _row(row: dict[str, Any]) -> Row:
    headers = list(zip(row["header_names"], row["header_values"], strict=True))
    return Row(row["seq"], Outgoing(row["topic"], row["key"], row["value"], headers))


def waves(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows in groups that hold each key once, a key's rows in their order."""
    waves: list[list[Row]] = []
    seen: dict[bytes, int] = defaultdict(int)
    for row in rows:
        index = seen[row.outgoing.key]
        seen[row.outgoing.key] += 1
        if index == len(waves):
            waves.append([])
        waves[index].append(row)
    return waves
