"""What is done without Valkey: who waits for it, and how often."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.ingest import valkey as module
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import PAUSE_S, Valkey


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_while_it_is_away_one_asks_again_after_a_pause_and_the_others_do_not_wait(clock: Clock) -> None:
    valkey = Valkey("redis://127.0.0.1:1", 0.1, IngestMetrics(CollectorRegistry()))
    asked: list[str] = []
    back = asyncio.Event()

    async def fail(_: Redis) -> str:
        asked.append("fail")
        raise TimeoutError

    async def hang(_: Redis) -> str:
        asked.append("hang")
        await back.wait()
        return "answer"

    assert await valkey.ask("test", fail) is None
    assert await valkey.ask("test", fail) is None
    assert asked == ["fail"]
    assert "away" in valkey.status().detail
    clock.now += PAUSE_S + 0.1
    first = asyncio.create_task(valkey.ask("test", hang))
    await asyncio.sleep(0)
    assert await valkey.ask("test", hang) is None
    back.set()
    assert await first == "answer"
    assert await valkey.ask("test", hang) == "answer"
    assert asked == ["fail", "hang", "hang"]
    assert valkey.status().detail == ""
    await valkey.aclose()
