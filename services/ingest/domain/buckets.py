"""Token buckets, and the leases by which processes spend from one together. Times in seconds of the caller's clock."""

import math
from dataclasses import dataclass, field

LEASE_S = 1.0
"""How long leased tokens may lie unspent; then they are lost."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most burst + per_second * t events in any t seconds, over all processes."""

    per_second: int
    burst: int

    def share(self, part: float) -> "Limit":
        """A part of it, rounded up."""
        return Limit(math.ceil(self.per_second * part), math.ceil(self.burst * part))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a limit is kept by leases: what the shared bucket holds, how long a lease lasts, how much it takes at most.

    Tokens may be spent up to `lease_s` after they were granted, so the bucket holds that much less than the burst.
    """

    limit: Limit
    bucket: int
    lease_s: float
    chunk: int

    @classmethod
    def of(cls, limit: Limit, largest: int) -> "Plan":
        """`largest` is what one request may need: the bucket always holds that."""
        spare = max(0, limit.burst - largest)
        lease_s = min(LEASE_S, spare / limit.per_second)
        bucket = max(min(largest, limit.burst), int(limit.burst - limit.per_second * lease_s))
        return cls(limit, bucket, lease_s, max(1, min(limit.per_second // 10, bucket)))


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens that were given, and how many the bucket still holds."""

    tokens: int
    remaining: int


@dataclass(slots=True)
class Bucket:
    """Fills at the plan's rate; begins full. A clock that steps back fills nothing, and stops nothing."""

    plan: Plan
    at: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.plan.bucket

    def grant(self, now: float, needed: int, wanted: int) -> Grant:
        """Up to `wanted` tokens; none where there are fewer than `needed`."""
        elapsed = max(0.0, now - self.at)
        self.tokens = min(self.plan.bucket, self.tokens + elapsed * self.plan.limit.per_second)
        self.at = now
        granted = min(wanted, int(self.tokens)) if self.tokens >= needed else 0
        self.tokens -= granted
        return Grant(granted, int(self.tokens))


@dataclass(slots=True)
class Lease:
    """Tokens at hand: those of the last grant, and before them what was left of earlier ones. Each lasts its own time."""

    older: int = 0
    older_until: float = 0.0
    newer: int = 0
    newer_until: float = 0.0
    granted: int = 0  # By the last grant,
    asked: int = 0  # when so much was asked for.

    def held(self, now: float) -> int:
        """What may be spent now."""
        return (self.older if now < self.older_until else 0) + (self.newer if now < self.newer_until else 0)

    def spend(self, now: float, tokens: int) -> None:
        """Of what is held; the older first."""
        if now < self.older_until:
            taken = min(self.older, tokens)
            self.older -= taken
            tokens -= taken
        self.newer -= tokens

    def add(self, now: float, tokens: int, until: float) -> None:
        """A grant, good until a time."""
        left = self.held(now)
        if not (now < self.older_until and self.older):
            self.older_until = self.newer_until
        self.older, self.newer, self.newer_until, self.granted = left, tokens, until, tokens

    def is_short(self, now: float, lease_s: float) -> bool:
        """Whether the next grant should be asked for: half is spent, or the time is nearly over."""
        return self.held(now) * 2 <= self.granted or now > self.newer_until - lease_s / 4

    def ask(self, now: float, needed: int, most: int) -> int:
        """What to ask for: twice as much as the last time where what it gave was soon spent, else what was spent of it."""
        spent = self.granted - self.newer
        was_quick = now < self.newer_until and spent * 2 >= self.granted
        self.asked = max(needed, min(most, 2 * self.asked if was_quick else spent))
        return self.asked
