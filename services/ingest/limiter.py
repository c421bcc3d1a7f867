"""A rate limit a store and endpoint: a token bucket in Valkey, of which each process leases a share at a time.

A lease keeps Valkey off the path of most requests. Without Valkey nobody is refused.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.valkey import Valkey

LEASE_S = 1.0
"""How long leased tokens may lie unused; then they are lost, as they would have been elsewhere used."""

# Tokens are taken from the bucket, which fills by Valkey's own clock. KEYS: the bucket; ARGV: rate, burst, needed, wanted.
_LEASE = """
local now = redis.call('TIME')
local now_s = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now_s
tokens = math.min(burst, tokens + math.max(0, now_s - at) * rate)
local granted = 0
if tokens >= needed then granted = math.min(wanted, math.floor(tokens)) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', string.format('%.6f', now_s))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return {granted, math.floor(tokens - granted)}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on; where not, when to come again."""

    allowed: bool
    remaining: int = 0
    retry_after_s: int = 0


@dataclass(slots=True)
class _Lease:
    tokens: int = 0
    until: float = 0.0


class RateLimiter:
    """Asks for a tenth of a second's worth of events at a time."""

    def __init__(
        self, valkey: Valkey, *, per_second: int, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_second = per_second
        self.burst = burst
        self._valkey = valkey
        self._clock = clock
        self._leases: defaultdict[str, _Lease] = defaultdict(_Lease)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, store_id: str, endpoint: str, events: int) -> Verdict:
        """Count events of a store at an endpoint."""
        bucket = f"trolleybus:limit:{store_id}:{endpoint}"
        if self._spend(bucket, events):
            return Verdict(allowed=True)
        async with self._locks[bucket]:  # Those who come meanwhile wait for this lease and share it.
            if self._spend(bucket, events):
                return Verdict(allowed=True)
            held = self._held(bucket)
            needed = events - held
            wanted = max(needed, self.per_second // 10)
            answer = await self._valkey.ask(
                "limiter",
                lambda client: client.eval(_LEASE, 1, bucket, self.per_second, self.burst, needed, wanted),
            )
            if answer is None:
                return Verdict(allowed=True)
            granted, remaining = int(answer[0]), int(answer[1])
            if not granted:
                wait = math.ceil((needed - remaining) / self.per_second)
                return Verdict(allowed=False, remaining=remaining, retry_after_s=max(1, wait))
            self._leases[bucket] = _Lease(held + granted, self._clock() + LEASE_S)
            self._spend(bucket, events)
            return Verdict(allowed=True)

    def _held(self, bucket: str) -> int:
        lease = self._leases[bucket]
        return lease.tokens if lease.until > self._clock() else 0

    def _spend(self, bucket: str, events: int) -> bool:
        if self._held(bucket) < events:
            return False
        self._leases[bucket].tokens -= events
        return True
