"""The send gate: rounds of barrier, rules and claim, for many messages at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import psycopg
from psycopg_pool import PoolTimeout

from services.messaging import facts
from services.messaging.barrier import PurchaseBarrier
from services.messaging.calls import Calls, Claimed
from services.messaging.domain.barrier import Barrier
from services.messaging.domain.rules import Candidate, Defer, Facts, Go, Refuse, Verdict, Wait, decide
from services.messaging.domain.states import Event
from services.messaging.metrics import MessagingMetrics
from services.messaging.store import queue
from services.messaging.store.facts import gather, lock_people, people
from services.messaging.store.queue import Content, Message, Outcome
from trolleybus import outbox
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import SenderIdentity, StoreConfig
from trolleybus.db import Connection, Pool
from trolleybus.envelope import Envelopes
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

_NEXT_LOOK_MS = 1_000  # At what must wait for something else than time.
_CLAIM_WITHIN = 1.0  # Seconds: with an older barrier the calls would hardly begin in time.

log = get_logger(__name__)

Due = tuple[Message, Content | None]


class Stores(Protocol):
    """Stores' present settings."""

    def latest(self, store_id: str) -> StoreConfig | None: ...


class Gate:
    """Run one in each process; they share the queue by row locks."""

    def __init__(
        self,
        *,
        pool: Pool,
        barrier: PurchaseBarrier,
        stores: Stores,
        calls: Calls,
        channels: frozenset[str],
        envelopes: Envelopes,
        metrics: MessagingMetrics,
        batch: int,
        lease_s: float,
        poll_s: float,
        drain_s: float,
    ) -> None:
        self._pool = pool
        self._barrier = barrier
        self._stores = stores
        self._calls = calls
        self._channels = channels
        self._envelopes = envelopes
        self._metrics = metrics
        self._batch = batch
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._drain_s = drain_s
        self._wanted = asyncio.Event()
        self._problem = ""

    def wake(self) -> None:
        """There may be something due."""
        self._wanted.set()

    def status(self) -> PartStatus:
        """A barrier that nothing passes is told, and is no reason to take this process out of service."""
        return PartStatus(ok=not self._problem, detail=self._problem or self._barrier.problem)

    async def run(self) -> None:
        """Until cancelled; then the calls in flight are finished."""
        try:
            while True:
                try:
                    pause = await self._round()
                    self._problem = ""
                except (psycopg.Error, PoolTimeout) as error:
                    self._problem = f"database: {error}"
                    log.warning("a round failed", error=repr(error))
                    pause = 1.0
                if pause > 0:
                    await self._sleep(pause)
        finally:
            await self._calls.drain(self._drain_s)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _round(self) -> float:
        """Seconds until the next one."""
        await self._calls.wait_for_room()
        self._wanted.clear()
        async with self._pool.connection() as conn:
            left = await queue.next_due(conn)
        if left is None or left > 0:
            return self._poll_s if left is None else min(self._poll_s, left / 1000)
        barrier = await self._barrier.passed()
        if barrier is None:
            return self._poll_s
        if barrier.age(time.monotonic()) > _CLAIM_WITHIN:
            return 0.0  # Passed too slowly; what was read meanwhile is behind us, so the next one is quicker.
        async with self._pool.connection() as conn:
            claimed = await self._claim(conn, barrier)
        if claimed is None:
            return self._poll_s / 4  # Another process has what is due.
        self._calls.start(claimed, barrier)
        return 0.0

    async def _claim(self, conn: Connection, barrier: Barrier) -> list[Claimed] | None:
        """One transaction under the locks of all people concerned: rules checked, messages claimed or settled.

        None where nothing that is due could be locked.
        """
        found, now = await queue.lock_due(conn, min(self._batch, self._calls.room()))
        if not found:
            return None
        before = await people(conn, [message for message, _ in found])
        await lock_people(conn, frozenset().union(*before.values()))
        persons = await people(conn, [message for message, _ in found])
        due = _one_a_person([one for one in found if before[one[0].message_id] == persons[one[0].message_id]], persons)
        stores = {message.store_id: self._stores.latest(message.store_id) for message, _ in due}
        known = await gather(conn, [message for message, _ in due], persons, stores, self._channels, now)
        verdicts = [
            (message, content, _decided(message, content, known[message.message_id], now)) for message, content in due
        ]
        await self._settle(conn, [(message, verdict) for message, _, verdict in verdicts], now)
        going = [
            (message, content, verdict.sender)
            for message, content, verdict in verdicts
            if isinstance(verdict, Go) and content is not None
        ]
        if not going:
            return []
        claims = await queue.claim(conn, [message.message_id for message, _, _ in going], barrier, self._lease_s)
        self._metrics.claims.inc(len(claims))
        return [
            Claimed(message=message, content=content, sender=sender, claim=claims[message.message_id])
            for message, content, sender in going
            if message.message_id in claims
        ]

    async def _settle(self, conn: Connection, verdicts: Sequence[tuple[Message, Verdict]], now: int) -> None:
        outcomes: list[Outcome] = []
        records: list[Record] = []
        waiting: list[tuple[str, str, int]] = []
        for message, verdict in verdicts:
            message_id, state = message.message_id, message.state
            match verdict:
                case Wait(reason=reason):
                    waiting.append((message_id, reason, _NEXT_LOOK_MS))
                case Defer(until=until, rule=rule):
                    outcomes.append(
                        Outcome(message_id=message_id, event=Event.DEFER, state=state, rule=rule, deferred_until=until)
                    )
                    records.append(facts.deferred(message, now, until, rule))
                    self._metrics.refusals.labels("deferred", rule).inc()
                case Refuse(rule=rule, detail=detail):
                    outcomes.append(
                        Outcome(message_id=message_id, event=Event.REFUSE, state=state, rule=rule, detail=detail)
                    )
                    records.append(facts.refused(message, now, rule, detail))
                    self._metrics.refusals.labels("refused", rule).inc()
        await queue.wait(conn, waiting)
        await queue.move(conn, outcomes)
        await outbox.put(conn, self._envelopes, *records)


def _one_a_person(due: Sequence[Due], persons: dict[str, frozenset[str]]) -> list[Due]:
    """At most one message a person in a round, so that each counts against the caps of the next."""
    taken: set[str] = set()
    chosen: list[Due] = []
    for message, content in due:
        identities = persons[message.message_id]
        if taken.isdisjoint(identities):
            taken |= identities
            chosen.append((message, content))
    return chosen


def _decided(message: Message, content: Content | None, known: Facts, now: int) -> Verdict:
    try:
        return decide(_candidate(message, content), known, now)
    except Exception as error:
        # A fault of ours with one message must not stop the others; it shows on the message's page.
        log.exception("the rules failed", message_id=message.message_id)
        return Wait(f"the rules failed: {error!r}")


def _candidate(message: Message, content: Content | None) -> Candidate:
    return Candidate(
        message_id=message.message_id,
        store_id=message.store_id,
        channel=message.channel,
        purpose=message.purpose,
        attempt=message.attempt,
        cart_id=message.cart_id,
        purchase_since=message.purchase_since,
        expires_at=message.expires_at,
        time_zone=message.time_zone,
        sender=SenderIdentity(
            channel=message.channel,
            address=content.sender_address if content else "",
            name=content.sender_name if content else "",
            reply_to=content.reply_to if content else "",
        ),
        address=content.address if content else "",
        has_content=content is not None and bool(content.html or content.body),
    )
