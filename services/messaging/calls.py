"""Calls of providers: written down before, settled after, at most once a message (P4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg_pool import PoolTimeout

from services.messaging import facts
from services.messaging.domain.barrier import Barrier
from services.messaging.domain.states import Event, State, after
from services.messaging.letters import Letters
from services.messaging.mail import BadMail
from services.messaging.metrics import MessagingMetrics
from services.messaging.store import projection, queue
from services.messaging.store.queue import Content, Message, Outcome
from services.messaging.transports import Accepted, Answer, Mail, NotAccepted, Rejected, TooLate, Transport, Unknown
from trolleybus import outbox
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import SenderIdentity
from trolleybus.db import Connection, Pool
from trolleybus.envelope import Envelopes
from trolleybus.telemetry import get_logger

_SETTLE_TOGETHER = 0.01  # Seconds.

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that this process holds."""

    message: Message
    content: Content
    sender: SenderIdentity
    claim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the one call of a message came to."""

    message_id: str
    claim: int
    answer: Answer
    called_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """Seconds."""

    lease_s: float
    retry_first_s: float
    retry_longest_s: float


class Calls:
    """Takes claimed messages, calls the transport for each, and settles what came of it."""

    def __init__(
        self,
        *,
        pool: Pool,
        transport: Transport,
        letters: Letters,
        envelopes: Envelopes,
        metrics: MessagingMetrics,
        settings: CallSettings,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._letters = letters
        self._envelopes = envelopes
        self._metrics = metrics
        self._settings = settings
        self._batches: set[asyncio.Task[None]] = set()
        self._running = 0
        self._done = asyncio.Event()

    def room(self) -> int:
        """How many more may be started now."""
        return max(0, self._transport.capacity - self._running)

    async def wait_for_room(self) -> None:
        """Until half of the calls may be begun: a round costs the same for few as for many."""
        while 2 * self.room() < self._transport.capacity:
            self._done.clear()
            await self._done.wait()

    def start(self, claimed: Sequence[Claimed], barrier: Barrier) -> None:
        """Begin to call for messages; returns at once."""
        if claimed:
            self._running += len(claimed)
            task = asyncio.create_task(self._batch(claimed, barrier), name="calls")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def drain(self, seconds: float) -> None:
        """Until all calls that were begun are settled; what takes longer is left to its lease."""
        if self._batches:
            _, late = await asyncio.wait(self._batches, timeout=seconds)
            for task in late:
                task.cancel()

    async def _batch(self, claimed: Sequence[Claimed], barrier: Barrier) -> None:
        held = len(claimed)
        try:
            begun = await self._begin(await self._build(claimed), barrier)
            pending = {
                asyncio.create_task(self._call(one, mail, barrier), name=one.message.message_id) for one, mail in begun
            }
            while pending:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                # Most end together: one transaction settles them all, and a slow one holds nobody up.
                done, pending = await asyncio.wait(pending, timeout=_SETTLE_TOGETHER)
                await self._settle_until_done([task.result() for task in done])
                held -= len(done)
                self._running -= len(done)
                self._done.set()
        except Exception:
            # The leases bring it to an end: claimed messages are queued again, called ones are in doubt.
            log.exception("a batch of calls failed")
        finally:
            self._running -= held
            self._done.set()

    async def _build(self, claimed: Sequence[Claimed]) -> list[tuple[Claimed, Mail]]:
        mails: list[tuple[Claimed, Mail]] = []
        for one in claimed:
            try:
                mails.append((one, self._letters.write(one.message, one.content, one.sender)))
            except BadMail as error:
                await self._refuse(one, "bad_mail", str(error))
            except Exception as error:
                # One message that cannot be written must not hold up the others, now and at every new claim.
                log.exception("a mail could not be written", message_id=one.message.message_id)
                await self._refuse(one, "bad_mail", repr(error))
        return mails

    async def _begin(self, mails: list[tuple[Claimed, Mail]], barrier: Barrier) -> list[tuple[Claimed, Mail]]:
        """Commit that these are being called; those that may not be any more are given back."""
        claims = {one.message.message_id: one.claim for one, _ in mails}
        begun: set[str] = set()
        tick = time.monotonic()
        if claims and barrier.fresh(tick):
            async with self._pool.connection() as conn:
                begun = await queue.begin_calls(
                    conn, claims, barrier.wall(tick), self._transport.name, self._settings.lease_s
                )
        if not barrier.fresh(time.monotonic()):
            begun = set()
        if back := {message_id: claim for message_id, claim in claims.items() if message_id not in begun}:
            self._metrics.released.labels("not_called").inc(len(back))
            async with self._pool.connection() as conn:
                await queue.give_back(conn, back)
        return [(one, mail) for one, mail in mails if one.message.message_id in begun]

    async def _call(self, one: Claimed, mail: Mail, barrier: Barrier) -> Answered:
        called_at = barrier.wall(time.monotonic())

        def may_begin() -> bool:
            nonlocal called_at
            tick = time.monotonic()
            called_at = barrier.wall(tick)
            return barrier.fresh(tick)

        with self._metrics.call_seconds.labels(self._transport.name).time():
            try:
                answer = await self._transport.send(mail, may_begin)
            except Exception as error:
                log.exception("a transport failed", transport=self._transport.name, message_id=mail.message_id)
                answer = Unknown(reason=repr(error)[:500])
        self._metrics.answers.labels(self._transport.name, type(answer).__name__).inc()
        if not isinstance(answer, TooLate):
            due = max(one.message.not_before, one.message.requested_at)
            self._metrics.lateness_seconds.observe(max(0, called_at - due) / 1000)
        return Answered(message_id=one.message.message_id, claim=one.claim, answer=answer, called_at=called_at)

    async def _settle_until_done(self, answered: Sequence[Answered]) -> None:
        """An answer is known here alone: it is kept until the database has it."""
        pause = 0.1
        while True:
            try:
                async with self._pool.connection() as conn:
                    await self.settle(conn, answered)
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("answers wait for the database", answers=len(answered), error=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    async def settle(self, conn: Connection, answered: Sequence[Answered]) -> None:
        """Write down what became of calls, and tell it."""
        by_id = {one.message_id: one for one in answered}
        claims = {one.message_id: one.claim for one in answered}
        outcomes: list[Outcome] = []
        records: list[Record] = []
        back: dict[str, int] = {}
        for message in await queue.lock_held(conn, claims):
            one = by_id[message.message_id]
            event = _event(one.answer)
            to = after(message.state, event)
            if to is None:
                log.error("an answer came too late to count", message_id=message.message_id, state=message.state)
                continue
            if event is Event.RELEASE:
                back[message.message_id] = one.claim
                continue
            outcome, told = self._outcome(message, one, event, to)
            outcomes.append(outcome)
            records += told
            if isinstance(one.answer, Rejected) and one.answer.address_at_fault:
                await projection.suppress(
                    conn, message.store_id, message.channel, message.address_hash, "bounced", message.message_id
                )
        await queue.move(conn, outcomes)
        if back:
            self._metrics.released.labels("too_late").inc(len(back))
            await queue.give_back(conn, back)
        await outbox.put(conn, self._envelopes, *records)

    def _outcome(self, message: Message, one: Answered, event: Event, to: State) -> tuple[Outcome, list[Record]]:
        now = time.time_ns() // 1_000_000
        rule = detail = number = ""
        records: list[Record] = []
        pause = 0.0
        match one.answer:
            case Accepted(provider_message_id=number, delivered=delivered):
                records.append(facts.sent(message, now, number, one.called_at))
                if delivered:
                    records.append(facts.delivered(message, now))
            case Rejected(reason=detail, address_at_fault=at_fault):
                rule = "provider_rejected"
                if at_fault:
                    records.append(facts.bounced(message, now, detail))
            case NotAccepted(reason=detail):
                pause = min(self._settings.retry_first_s * 2 ** min(message.tries, 30), self._settings.retry_longest_s)
                rule = "not_accepted" if to is State.REFUSED else ""
            case Unknown(reason=detail):
                records.append(facts.in_doubt(message, now, detail))
        if to is State.REFUSED:
            records.append(facts.refused(message, now, rule, detail))
            self._metrics.refusals.labels("refused", rule).inc()
        outcome = Outcome(
            message_id=message.message_id,
            event=event,
            state=message.state,
            due_in_ms=round(pause * 1000),
            rule=rule,
            detail=detail,
            provider_message_id=number,
            called_at=one.called_at,
        )
        return outcome, records

    async def _refuse(self, one: Claimed, rule: str, detail: str) -> None:
        now = time.time_ns() // 1_000_000
        async with self._pool.connection() as conn:
            for message in await queue.lock_held(conn, {one.message.message_id: one.claim}):
                if after(message.state, Event.REFUSE) is None:
                    continue
                outcome = Outcome(
                    message_id=message.message_id, event=Event.REFUSE, state=message.state, rule=rule, detail=detail
                )
                await queue.move(conn, [outcome])
                await outbox.put(conn, self._envelopes, facts.refused(message, now, rule, detail))
                self._metrics.refusals.labels("refused", rule).inc()


def _event(answer: Answer) -> Event:
    match answer:
        case Accepted():
            return Event.ACCEPTED
        case Rejected():
            return Event.REJECTED
        case NotAccepted():
            return Event.NOT_ACCEPTED
        case Unknown():
            return Event.UNKNOWN
        case TooLate():
            return Event.RELEASE
