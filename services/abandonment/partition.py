"""One partition at work: when its clock moves, when what it made is written, and in which order.

The order of a write: facts and rows in one transaction, its commit, then the rows on disk. A crash at any point repeats
ids and loses nothing. One write is under way at a time; meanwhile the shard goes on and collects the next.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.abandonment.domain.effects import Effect
from services.abandonment.journal import Journal
from services.abandonment.log_ends import End, monotonic_ms
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.shard import Parked, Shard
from services.abandonment.store import CartStore
from services.abandonment.tellings import Tellings, reason_of
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

MANY = 2_000
"""Changed carts that are written without waiting for more."""
FULL = 4_000
"""Changed carts and their facts at which no more is read until some are written. A fact holds as much memory as a cart's row, and
where levels fire on most carts there are more of them."""
FULL_BYTES = 2 << 20
"""The same, of the rows of changed carts: one that was left dozens of times has a row four times as large as a new one's."""
GATHER_MS = 80
"""Least time between two writes, in which facts gather."""
LATEST_MS = 400
"""Most time from a change to its write."""
BEHIND = 5_000
"""Records that wait to be read from which on facts are late anyway: then they gather for longer, and more is done at once."""
LATEST_BEHIND_MS = 800
"""As LATEST_MS, for changes and facts, while behind: a commit stands at least every second."""
HEARTBEAT_MS = 10_000
"""Most time between two writes: each tells what time it is at the brokers, and whether the partition is still ours."""
DUE_AT_ONCE = 500
"""Carts that silence makes due, looked at in one go."""


@dataclass(slots=True)
class Partition:
    """A shard with its journal and its rows."""

    shard: Shard
    journal: Journal
    store: CartStore
    tellings: Tellings
    metrics: AbandonmentMetrics
    margin_ms: int
    kept_offset: int = field(init=False)  # The source's next offset, as the rows have it.
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _written_at: int = field(default_factory=monotonic_ms)
    _is_behind: bool = False
    _changed_since: int = 0  # When the oldest change not taken came; 0: none.
    _ahead: int | None = None  # What the brokers' clock shows beyond our monotonic one, at least.

    def __post_init__(self) -> None:
        self.kept_offset = self.shard.clock.next_offset

    @property
    def number(self) -> int:
        return self.shard.partition

    @property
    def is_full(self) -> bool:
        shard = self.shard
        return shard.changes + len(shard.effects) >= FULL or shard.changed_bytes >= FULL_BYTES

    def broker_now(self, at: int) -> int | None:
        """The brokers' time (ms) at a monotonic one, never later than it truly is; None before the first write.

        An append that was acknowledged at `a` with timestamp `t` happened before `a`: so at `a` it is `t` or later there.
        Our own wall clock has no part in it.
        """
        return None if self._ahead is None else at + self._ahead

    def tick(self, end: End | None, now: int) -> None:
        """Let silence speak, and see whether something is to be written."""
        if end is not None and self._ahead is not None:
            self.shard.clock.end_seen(end.offset, end.asked_at + self._ahead - self.margin_ms)
        if end is not None:
            self._is_behind = end.offset - self.shard.clock.next_offset > BEHIND
        if not self.is_full:
            self.shard.silence(DUE_AT_ONCE)
        self.consider(now)

    def consider(self, now: int) -> None:
        """Start a write if it is time."""
        shard = self.shard
        if not self._changed_since and (shard.changes or shard.clock.next_offset != self.kept_offset):
            self._changed_since = now
        quiet = now - self._written_at
        gather, latest = (LATEST_BEHIND_MS, LATEST_BEHIND_MS) if self._is_behind else (GATHER_MS, LATEST_MS)
        if (
            shard.changes >= MANY
            or self.is_full
            or ((shard.effects or shard.parked) and quiet >= gather)
            or (self._changed_since and now - self._changed_since >= latest)
            or quiet >= HEARTBEAT_MS
        ):
            self._due.set()

    async def keep(self) -> None:
        """Write whenever it is time, until cancelled. Raises KafkaError; then another Partition must go on from the rows."""
        await self.write()  # The first tells the brokers' time.
        while True:
            self._idle.set()
            await self._due.wait()
            self._idle.clear()
            self._due.clear()
            await self.write()

    async def write(self) -> None:
        """What is there now. Raises KafkaError."""
        self._changed_since = 0
        changes = self.shard.take()
        now = self.broker_now(monotonic_ms()) or self.shard.clock.now
        written = await self.journal.write(changes.rows, self.tellings.of(changes, now))
        self.store.apply(changes.rows, written.next_offset, written.appended_at)
        self.shard.kept()
        self.kept_offset = changes.next_offset
        self._ahead = written.appended_at - written.acked_at
        self._written_at = monotonic_ms()
        self._count(changes.effects, written.appended_at)
        self._report(changes.parked)

    async def finish(self, keeping: asyncio.Task[None]) -> None:
        """Let the write under way end, then write the rest; nothing may be heard any more. `keeping` runs `keep`."""
        while not self._idle.is_set():  # Woken by the end of one write, the next may have begun.
            await self._idle.wait()
        keeping.cancel()
        if self.shard.changes or self.shard.clock.next_offset != self.kept_offset:
            await self.write()

    def measure(self, end: End | None, now: int) -> None:
        """What an operator sees of the partition."""
        name, shard, metrics = str(self.number), self.shard, self.metrics
        metrics.timers.labels(name).set(len(shard.timers))
        if end is not None:
            metrics.lag.labels(name).set(max(0, end.offset - shard.clock.next_offset))
        there = self.broker_now(now)
        if there is not None:
            metrics.clock_behind.labels(name).set(max(0, there - shard.clock.now) / 1000)
        for note, count in shard.notes.items():
            metrics.records.labels(note.value).inc(count)
        shard.notes.clear()
        metrics.replayed.inc(shard.replayed)
        shard.replayed = 0
        for mistake in shard.mistakes:
            log.error(
                "a mistake in the detector: the record was parked, or the cart waits",
                partition=self.number,
                exc_info=mistake,
            )
        shard.mistakes.clear()

    def _count(self, effects: Sequence[Effect], appended_at: int) -> None:
        metrics = self.metrics
        for kind, count in Counter(map(type, effects)).items():
            metrics.effects.labels(kind.__name__).inc(count)
        fired = [effect for effect in effects if isinstance(effect, CartAbandoned)]
        for seconds, count in Counter([effect.level_seconds for effect in fired]).items():
            metrics.levels.labels(str(seconds)).inc(count)
        for effect in fired:
            if not effect.imported:
                metrics.lateness.observe(max(0, appended_at - effect.due_at) / 1000)

    def _report(self, parked: Sequence[Parked]) -> None:
        for one in parked:
            reason = reason_of(one.error)
            self.metrics.parked.labels(reason).inc()
            log.warning("parked", reason=reason, detail=str(one.error), partition=self.number, offset=one.record.offset)
