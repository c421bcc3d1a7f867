"""What must happen without anybody asking: leases end, and what is in doubt is looked up. And what a person settles."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import psycopg
from psycopg_pool import PoolTimeout

from services.messaging import facts
from services.messaging.domain.states import Event, after
from services.messaging.metrics import MessagingMetrics
from services.messaging.store import holds, queue
from services.messaging.store.queue import Outcome
from services.messaging.transports import Accepted, Transport
from trolleybus import outbox
from trolleybus.contracts.records import Record
from trolleybus.db import Connection, Pool
from trolleybus.envelope import Envelopes
from trolleybus.telemetry import get_logger

_EVERY = 1.0
_OPEN_STATES = ("queued", "claimed", "calling", "retry", "in_doubt")

log = get_logger(__name__)


class NotInDoubt(Exception):
    """Only a message in doubt is settled by hand; the text says what it is."""


class Keeping:
    """Every process does this; row locks keep them out of each other's way."""

    def __init__(
        self, *, pool: Pool, transport: Transport, envelopes: Envelopes, metrics: MessagingMetrics, look_up_s: float
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._envelopes = envelopes
        self._metrics = metrics
        self._look_up_s = look_up_s

    async def run(self) -> None:
        """Until cancelled."""
        looked_up = -self._look_up_s
        while True:
            try:
                doubts = await self._expire()
                if doubts or time.monotonic() - looked_up >= self._look_up_s:
                    looked_up = time.monotonic()
                    await self._look_up()
                await self._measure()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("leases wait for the database", error=repr(error))
            await asyncio.sleep(_EVERY)

    async def _expire(self) -> int:
        """Claims whose lease ended are queued again; calls are in doubt from then on, and never called again."""
        async with self._pool.connection() as conn:
            if again := await queue.expire_claims(conn):
                self._metrics.released.labels("claim_expired").inc(again)
                log.warning("claims expired", messages=again)
        async with self._pool.connection() as conn:
            expired = await queue.lock_expired_calls(conn)
            reason = "the call was not answered before its lease ended"
            now = time.time_ns() // 1_000_000
            await queue.move(
                conn,
                [
                    Outcome(
                        message_id=message.message_id,
                        event=Event.CALL_EXPIRED,
                        state=message.state,
                        detail=reason,
                    )
                    for message in expired
                ],
            )
            await outbox.put(conn, self._envelopes, *(facts.in_doubt(message, now, reason) for message in expired))
        for message in expired:
            log.error("a message is in doubt", message_id=message.message_id, provider=message.provider)
        return len(expired)

    async def _look_up(self) -> None:
        async with self._pool.connection() as conn:
            doubts = await queue.in_doubt(conn, self._transport.name)
        for message_id in doubts:
            found = await self._transport.look_up(message_id)
            if found is not None:
                with suppress(NotInDoubt):  # Someone else was faster.
                    async with self._pool.connection() as conn:
                        await self._sent(conn, message_id, found, "look-up")

    async def settle(self, message_id: str, *, was_sent: bool, by: str, note: str) -> None:
        """A person says what became of a message in doubt; raises LookupError or NotInDoubt."""
        async with self._pool.connection() as conn:
            if was_sent:
                await self._sent(conn, message_id, Accepted(provider_message_id=""), by)
            else:
                await self._not_sent(conn, message_id, by, note)
            await queue.write_audit(conn, by, "settled sent" if was_sent else "settled not sent", message_id, note)

    async def _sent(self, conn: Connection, message_id: str, found: Accepted, by: str) -> None:
        message = await _in_doubt(conn, message_id)
        now = time.time_ns() // 1_000_000
        records: list[Record] = [facts.sent(message, now, found.provider_message_id, message.called_at)]
        if found.delivered:
            records.append(facts.delivered(message, now))
        outcome = Outcome(
            message_id=message_id,
            event=Event.SETTLED_SENT,
            state=message.state,
            provider_message_id=found.provider_message_id,
            settled_by=by,
        )
        await queue.move(conn, [outcome])
        await outbox.put(conn, self._envelopes, *records)

    async def _not_sent(self, conn: Connection, message_id: str, by: str, note: str) -> None:
        message = await _in_doubt(conn, message_id)
        now = time.time_ns() // 1_000_000
        outcome = Outcome(
            message_id=message_id,
            event=Event.SETTLED_NOT_SENT,
            state=message.state,
            rule="settled_not_sent",
            detail=note,
            settled_by=by,
        )
        await queue.move(conn, [outcome])
        await outbox.put(conn, self._envelopes, facts.refused(message, now, "settled_not_sent", note))

    async def _measure(self) -> None:
        async with self._pool.connection() as conn:
            counts = await queue.count_states(conn)
            in_force = await holds.list_holds(conn)
        for state in _OPEN_STATES:
            self._metrics.states.labels(state).set(counts.get(state, 0))
        self._metrics.holds.set(len(in_force))


async def _in_doubt(conn: Connection, message_id: str) -> queue.Message:
    message = await queue.lock_one(conn, message_id)
    if message is None:
        raise LookupError(message_id)
    if after(message.state, Event.SETTLED_SENT) is None:
        raise NotInDoubt(f"the message is {message.state}, not in doubt")
    return message
