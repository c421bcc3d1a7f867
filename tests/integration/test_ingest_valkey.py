"""The gateway's client of Valkey against the real one: how it ends."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey
from tests.eventually import eventually

NOBODY_PUSHES = "trolleybus:test:nothing"
WAITS_S = 0.3


@pytest_asyncio.fixture(loop_scope="session")
async def onlooker(env: dict[str, str]) -> AsyncIterator[Redis]:
    async with Redis.from_url(env["REDIS_URL"], decode_responses=True) as client:
        yield client


async def test_what_was_asked_before_the_end_is_answered_and_nothing_is_asked_after_it(
    env: dict[str, str], onlooker: Redis
) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    valkey = Valkey(f"{env['REDIS_URL']}?client_name={name}", 5.0, IngestMetrics(CollectorRegistry()))
    asked = asyncio.create_task(valkey.ask("test", _wait_for_nobody))
    await eventually(partial(_commands_of, onlooker, name, "blpop"))
    await valkey.aclose()
    assert await asked == "waited"
    assert await valkey.ask("test", _wait_for_nobody) is None
    await eventually(partial(_is_gone, onlooker, name))


async def _wait_for_nobody(client: Redis) -> str:
    await client.blpop([NOBODY_PUSHES], WAITS_S)
    return "waited"


async def _is_gone(onlooker: Redis, name: str) -> bool:
    return not await _commands_of(onlooker, name)


async def _commands_of(onlooker: Redis, name: str, last: str = "") -> list[str]:
    """The last commands of the connections of a client."""
    connections = await onlooker.client_list()
    return [one["cmd"] for one in connections if one["name"] == name and last in one["cmd"]]
