"""The gateway in several processes: one port, one set of figures, and none left behind."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, running, world

EVENT = {"event": "product_viewed", "product_id": "p", "cart_id": "c"}


@pytest.fixture
async def gateway(env: dict[str, str], tmp_path: Path) -> AsyncIterator[Ingest]:
    """Two processes on one port."""
    async with (
        world(env, f"workers-{uuid.uuid4().hex[:6]}.") as around,
        running(around, tmp_path / "gateway.log", WORKERS="2") as ingest,
    ):
        await eventually(lambda: _are(ingest, 2))
        yield ingest


def workers(gateway: Ingest) -> list[psutil.Process]:
    assert gateway.process is not None
    return psutil.Process(gateway.process.pid).children()


async def _are(gateway: Ingest, number: int) -> bool:
    return len(workers(gateway)) == number


async def _taken(gateway: Ingest) -> float:
    """Requests to the path for carts that were answered 202, of all processes, by /metrics."""
    text = (await gateway.get("/metrics")).text
    name = 'trolleybus_http_requests_total{method="POST",route="/api/v1/carts/track",status="202"}'
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)


async def send(gateway: Ingest, key: str, number: int) -> list[int]:
    """Each over a connection of its own, so that it may come to any process."""
    answers = await asyncio.gather(
        *[gateway.post("carts/track", {**EVENT, "event_id": f"{uuid.uuid4()}"}, key) for _ in range(number)]
    )
    return [answer.status_code for answer in answers]


async def test_several_processes_take_events_and_their_figures_are_added_up(gateway: Ingest) -> None:
    shop = await gateway.open_shop("shop")
    both = [psutil.Process(worker.pid) for worker in workers(gateway)]
    await eventually(lambda: _know(gateway, shop.write_key))
    before = await _taken(gateway)
    assert await send(gateway, shop.write_key, 40) == [202] * 40
    assert await _taken(gateway) - before == 40
    assert all(worker.is_running() for worker in both)


async def test_a_process_that_is_killed_is_replaced_and_the_others_go_on(gateway: Ingest) -> None:
    shop = await gateway.open_shop("shop")
    victim, other = (psutil.Process(one.pid) for one in workers(gateway))
    victim.kill()
    await eventually(lambda: _replaced(gateway, victim.pid))
    assert other.is_running()
    await eventually(lambda: _know(gateway, shop.write_key))
    assert await send(gateway, shop.write_key, 10) == [202] * 10


async def test_when_asked_to_stop_all_stop(gateway: Ingest) -> None:
    both = workers(gateway)
    assert gateway.process is not None
    gateway.process.terminate()
    assert await asyncio.wait_for(gateway.process.wait(), 30) == 0
    assert not any(worker.is_running() for worker in both)


async def test_none_outlives_the_first_process_however_that_ends(gateway: Ingest) -> None:
    both = workers(gateway)
    assert gateway.process is not None
    os.kill(gateway.process.pid, signal.SIGKILL)
    await eventually(lambda: _gone(both))


async def _know(gateway: Ingest, key: str) -> bool:
    """Whether the processes know the store: each answers some of twenty."""
    try:
        return 401 not in await send(gateway, key, 20)
    except httpx2.TransportError:
        return False


async def _replaced(gateway: Ingest, pid: int) -> bool:
    now = workers(gateway)
    return len(now) == 2 and pid not in [worker.pid for worker in now]


async def _gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)
