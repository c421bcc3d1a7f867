"""Rate limits a store, a key and an endpoint: token buckets in Valkey, of which each process leases a share at a time.

A request spends leased tokens in memory. Leases are renewed in the background before they are empty. Without Valkey each
process keeps to the same limits alone.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from services.ingest.domain.buckets import Bucket, Grant, Lease, Limit, Plan
from services.ingest.valkey import Valkey
from trolleybus.contracts.stores import StoreConfig, StoreKey

ASK_AGAIN_S = 0.05
"""An empty bucket is not asked again sooner: a flood costs Valkey no more than this."""
ATTEMPTS = 3
"""After so many leases that others spent or that came too late, a request is settled by this process alone."""

# Bucket.grant, by Valkey's own clock. KEYS: the bucket; ARGV: rate, size, needed, wanted.
_GRANT = """
local now = redis.call('TIME')
local now_s = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, size = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or size, tonumber(bucket[2]) or now_s
tokens = math.min(size, tokens + math.max(0, now_s - at) * rate)
local granted = 0
if tokens >= needed then granted = math.min(wanted, math.floor(tokens)) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', string.format('%.6f', now_s))
redis.call('PEXPIRE', KEYS[1], math.ceil(size / rate * 1000) + 1000)
return {granted, math.floor(tokens - granted)}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on; where not, by which limit, and when to come again."""

    allowed: bool
    limit: Limit
    remaining: int = 0
    retry_after_s: int = 0


@dataclass(slots=True)
class _Share:
    """One bucket as this process sees it."""

    name: str
    plan: Plan
    allowed: Verdict
    lease: Lease = field(default_factory=Lease)
    refused_from: int = 0  # So many tokens and more are not to be had before refused_until.
    refused_until: float = 0.0
    remaining: int = 0
    alone: Bucket | None = None  # What stands for the shared bucket while Valkey is away.
    asking: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Shares:
    version: int
    all: tuple[_Share, ...]


class RateLimiter:
    """Events a store may send to an endpoint; `key_part` is the part of them that one key may, `largest` one request's most."""

    def __init__(
        self,
        valkey: Valkey,
        *,
        per_second: int,
        burst: int,
        key_part: float = 0.8,
        largest: int = 500,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._valkey = valkey
        self._limit = Limit(per_second, burst)
        self._key_part = key_part
        self._largest = largest
        self._clock = clock
        self._shares: dict[tuple[str, str, str], _Shares] = {}
        self._by_name: dict[str, _Share] = {}
        self._refuses_until = 0.0  # The latest of all shares.

    def take(self, store: StoreConfig, key: StoreKey, endpoint: str, events: int) -> Verdict | None:
        """Count events, in memory; None where no lease is at hand: then `acquire`. No request counts for more than a full
        bucket."""
        shares = self._of(store, key, endpoint)
        events = min(events, shares[-1].plan.bucket)
        now = self._clock()
        for share in shares:
            if share.lease.held(now) < events:
                return self._refusal(share, events, now)
        for share in shares:
            share.lease.spend(now, events)
            if share.asking is None and now >= share.refused_until and share.lease.is_short(now, share.plan.lease_s):
                self._ask(share, 1)
        return shares[0].allowed

    def refusal(self, store: StoreConfig, key: StoreKey, endpoint: str) -> Verdict | None:
        """Why not even one event would be taken, where that is known; asked before a request is read."""
        now = self._clock()
        if now >= self._refuses_until:
            return None
        for share in self._of(store, key, endpoint):
            if not share.lease.held(now):
                refusal = self._refusal(share, 1, now)
                if refusal is not None:
                    return refusal
        return None

    async def acquire(self, store: StoreConfig, key: StoreKey, endpoint: str, events: int) -> Verdict:
        """As take, with a lease asked for where there is none at hand."""
        events = min(events, self._of(store, key, endpoint)[-1].plan.bucket)
        for attempt in range(ATTEMPTS + 1):
            verdict = self.take(store, key, endpoint, events)
            if verdict is not None:
                return verdict
            now = self._clock()
            for share in self._of(store, key, endpoint):
                if share.lease.held(now) >= events:
                    continue
                if attempt == ATTEMPTS:
                    self._settle(share, self._grant_alone(share, events, events), events, now)
                else:
                    await asyncio.shield(share.asking or self._ask(share, events))
        return self.take(store, key, endpoint, events) or self._of(store, key, endpoint)[0].allowed

    def _of(self, store: StoreConfig, key: StoreKey, endpoint: str) -> tuple[_Share, ...]:
        found = self._shares.get((store.store_id, key.key_id, endpoint))
        if found is not None and found.version == store.version:
            return found.all
        limit = self._limit_of(store)
        store_name = f"trolleybus:limit:{store.store_id}:{endpoint}"
        shares = (
            self._share(store_name, limit),
            self._share(f"{store_name}:{key.key_id}", limit.share(self._key_part)),
        )
        self._shares[store.store_id, key.key_id, endpoint] = _Shares(store.version, shares)
        return shares

    def _limit_of(self, store: StoreConfig) -> Limit:
        """The store's own where it has one, with as much of a burst for its rate as all have, and room for full requests."""
        rate = store.events_per_second
        if not rate or rate == self._limit.per_second:
            return self._limit
        enough = math.ceil(self._largest / self._key_part + rate / 10)
        return Limit(rate, max(enough, rate * self._limit.burst // self._limit.per_second))

    def _share(self, name: str, limit: Limit) -> _Share:
        share = self._by_name.get(name)
        if share is None or share.plan.limit != limit:
            share = self._by_name[name] = _Share(name, Plan.of(limit, self._largest), Verdict(True, limit))
        return share

    def _refusal(self, share: _Share, events: int, now: float) -> Verdict | None:
        if events < share.refused_from or now >= share.refused_until:
            return None
        wait = share.refused_until - now + (events - share.refused_from) / share.plan.limit.per_second
        return Verdict(False, share.plan.limit, share.remaining, max(1, math.ceil(wait)))

    def _ask(self, share: _Share, needed: int) -> asyncio.Task[None]:
        """In the background; those who come meanwhile share the answer."""
        share.asking = asyncio.get_running_loop().create_task(self._renew(share, needed))
        return share.asking

    async def _renew(self, share: _Share, needed: int) -> None:
        began = self._clock()
        plan = share.plan
        wanted = share.lease.ask(began, needed, plan.chunk)
        try:
            answer = await self._valkey.ask(
                "limiter",
                lambda client: client.eval(_GRANT, 1, share.name, plan.limit.per_second, plan.bucket, needed, wanted),
            )
            if answer is None:
                grant = self._grant_alone(share, needed, wanted)
            else:
                grant = Grant(int(answer[0]), int(answer[1]))
            self._settle(share, grant, needed, began)
        finally:
            share.asking = None

    def _grant_alone(self, share: _Share, needed: int, wanted: int) -> Grant:
        now = self._clock()
        if share.alone is None:
            share.alone = Bucket(share.plan, now)
        return share.alone.grant(now, needed, wanted)

    def _settle(self, share: _Share, grant: Grant, needed: int, began: float) -> None:
        now = self._clock()
        share.remaining = grant.remaining
        if grant.tokens:
            share.lease.add(now, grant.tokens, began + share.plan.lease_s)
        if grant.tokens >= share.lease.asked:
            share.refused_until = 0.0
            return
        share.refused_from = grant.remaining + 1 if grant.tokens else needed
        wait = (share.refused_from - grant.remaining) / share.plan.limit.per_second
        share.refused_until = now + max(ASK_AGAIN_S, wait)
        self._refuses_until = max(self._refuses_until, share.refused_until)
