"""What keeps one store from harming another, over two processes of the gateway and the real Valkey."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.ingest.limiter import ASK_AGAIN_S, RateLimiter
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey
from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, running, world
from trolleybus.contracts.stores import StoreConfig, StoreKey

RATE, BURST, LARGEST = 200, 150, 100
KEYS = (StoreKey(key_id="w", kind="write"), StoreKey(key_id="s", kind="secret"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateways(
    env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Ingest, Ingest]]:
    logs = tmp_path_factory.mktemp("ingest")
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(world(env, f"ingest-limits-{uuid.uuid4().hex[:6]}."))
        first = await stack.enter_async_context(running(around, logs / "first"))
        yield first, await stack.enter_async_context(running(around, logs / "second"))


@pytest_asyncio.fixture(loop_scope="session")
async def limiters(env: dict[str, str]) -> AsyncIterator[list[RateLimiter]]:
    """As of three processes."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            valkey = Valkey(env["REDIS_URL"], 1.0, IngestMetrics(CollectorRegistry()))
            await stack.enter_async_context(aclosing(valkey))
            made.append(RateLimiter(valkey, per_second=RATE, burst=BURST, key_part=0.8, largest=LARGEST))
        yield made


def a_store() -> StoreConfig:
    return StoreConfig(store_id=f"store-{uuid.uuid4().hex[:8]}", version=1)


async def flood(limiter: RateLimiter, store: StoreConfig, key: StoreKey, until: float) -> int:
    passed = 0
    while time.monotonic() < until:
        verdict = limiter.take(store, key, "carts", 1) or await limiter.acquire(store, key, "carts", 1)
        passed += verdict.allowed
        if not verdict.allowed:
            assert verdict.retry_after_s >= 1
            await asyncio.sleep(0.002)
    return passed


async def test_several_processes_together_keep_to_the_limit_of_a_store_and_of_a_key(
    limiters: list[RateLimiter], env: dict[str, str]
) -> None:
    store, began = a_store(), time.monotonic()
    asked = await _asked(env)
    floods = [flood(limiter, store, key, began + 2) for limiter in limiters for key in KEYS]
    passed = await asyncio.gather(*floods)
    seconds = time.monotonic() - began
    assert RATE * seconds * 0.6 < sum(passed) <= BURST + RATE * seconds
    for key in range(2):
        assert sum(passed[key::2]) <= 0.8 * (BURST + RATE * seconds) + 1
    # Neither what passes nor what is refused asks Valkey each time.
    buckets = 3
    assert await _asked(env) - asked < len(limiters) * buckets * (seconds / ASK_AGAIN_S) + 60


async def _asked(env: dict[str, str]) -> int:
    valkey = Valkey(env["REDIS_URL"], 1.0, IngestMetrics(CollectorRegistry()))
    async with aclosing(valkey):
        stats = await valkey.ask("test", lambda client: client.info("commandstats"))
    assert stats is not None
    return int(stats.get("cmdstat_eval", {"calls": 0})["calls"])


async def test_a_request_larger_than_what_is_left_waits_and_smaller_ones_pass(limiters: list[RateLimiter]) -> None:
    store, limiter = a_store(), limiters[0]
    assert (await limiter.acquire(store, KEYS[0], "carts", LARGEST - 30)).allowed
    refused = await limiter.acquire(store, KEYS[0], "carts", LARGEST)
    assert not refused.allowed
    assert refused.retry_after_s == 1
    again = limiter.take(store, KEYS[0], "carts", LARGEST)
    assert again is not None
    assert not again.allowed
    assert (await limiter.acquire(store, KEYS[0], "carts", 1)).allowed
    assert (await limiter.acquire(store, KEYS[0], "orders", LARGEST)).allowed
    assert (await limiter.acquire(a_store(), KEYS[0], "carts", LARGEST)).allowed


async def test_without_valkey_each_process_keeps_to_the_limit_alone() -> None:
    valkey = Valkey("redis://127.0.0.1:1/0", 0.1, IngestMetrics(CollectorRegistry()))
    async with aclosing(valkey):
        limiter = RateLimiter(valkey, per_second=RATE, burst=BURST, key_part=1.0, largest=LARGEST)
        began = time.monotonic()
        passed = await flood(limiter, a_store(), KEYS[0], began + 1)
        assert RATE * 0.5 < passed <= BURST + RATE * (time.monotonic() - began)


async def test_a_revoked_key_is_refused_by_every_process_within_a_second(gateways: tuple[Ingest, Ingest]) -> None:
    for _ in range(5):
        shop = await gateways[0].open_shop(f"store-{uuid.uuid4().hex[:8]}")
        await eventually(partial(gateways[1].knows, shop))
        kept = replace(shop.config, id=f"{shop.store_id}-2", version=2, keys=shop.config.keys[1:])
        await gateways[0].writer.send(kept)
        revoked = time.monotonic()
        for gateway in gateways:
            await eventually(partial(_is_refused, gateway, shop.write_key))
        assert time.monotonic() - revoked < 1.0
        for gateway in gateways:
            assert (await gateway.post("carts/track", {}, shop.secret_key)).status_code == 422


async def _is_refused(gateway: Ingest, key: str) -> bool:
    return (await gateway.post("carts/track", {}, key)).status_code == 401
