"""A real process: how it starts, drains and ends."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.library.sample_service import SECRETS, SampleSettings

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20


class Process:
    """The sample service, its log read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[dict[str, Any]] = []
        self._reading = asyncio.ensure_future(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(json.loads(line))

    async def logged(self, event: str) -> dict[str, Any]:
        line: dict[str, Any] = await until(lambda: next((line for line in self.log if line["event"] == event), None))
        return line

    def events(self) -> list[str]:
        return [line["event"] for line in self.log]

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            code = await self._process.wait()
            await self._reading
        return code

    async def errors(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


async def until(found: Callable[[], Any]) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while (value := found()) is None:  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.01)
        return value


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    processes: list[Process] = []

    async def started(**settings: str) -> Process:
        environment = {
            name: value for name, value in os.environ.items() if name.lower() not in SampleSettings.model_fields
        }
        process = Process(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.unit.library.sample_service",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env=environment | SECRETS | settings,
            )
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        await process.kill()


async def address(process: Process) -> str:
    url = (await process.logged("starting"))["url"]
    await process.logged("Application startup complete.")
    return str(url)


async def test_a_request_in_flight_finishes_and_the_loops_are_cancelled_after_it(start: Start) -> None:
    process = await start()
    async with httpx2.AsyncClient(base_url=await address(process)) as client:
        slow = asyncio.ensure_future(client.get("/api/v1/slow"))
        await process.logged("slow request began")
        os.kill(process.pid, signal.SIGTERM)
        assert (await slow).json() == "finished"
    assert await process.ended() == 0
    events = process.events()
    assert events.index("draining") < events.index("Waiting for application shutdown.") < events.index("loop left")
    assert events.index("loop left") < events.index("stopped")


async def test_readyz_says_no_before_the_port_closes(start: Start) -> None:
    process = await start(DRAIN_NOTICE_SECONDS="3")
    async with httpx2.AsyncClient(base_url=await address(process)) as client:
        assert (await client.get("/readyz")).status_code == 200
        os.kill(process.pid, signal.SIGINT)
        await process.logged("draining")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["process"]["detail"] == "draining: asked to stop"
        assert (await client.get("/livez")).status_code == 200
    assert await process.ended() == 0


async def test_an_event_stream_ends_with_the_drain(start: Start) -> None:
    process = await start(DRAIN_TIMEOUT_SECONDS="15")
    async with (
        httpx2.AsyncClient(base_url=await address(process)) as client,
        client.stream("GET", "/api/v1/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == 'data: {"number":1}'
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(5):  # well below the drain's own limit
            rest = [line async for line in lines]  # raises if the stream is cut instead of ended
        assert not rest or rest[-1] == ""
    assert await process.ended() == 0
    assert not [line for line in process.log if line["level"] == "error"]


async def test_a_loop_that_dies_is_logged_and_ends_the_process(start: Start) -> None:
    process = await start(LOOP_DIES="true")
    assert await process.ended() == 1
    (died,) = [line for line in process.log if line["event"] == "a background loop died"]
    assert died["loop"] == "loop"
    assert "RuntimeError: the loop's own trouble" in died["exception"]
    assert process.events().index("draining") < process.events().index("other loop left")


async def test_a_start_that_waits_for_ever_can_be_stopped(start: Start) -> None:
    process = await start(START_HANGS="true")
    await process.logged("start hangs")
    os.kill(process.pid, signal.SIGTERM)
    assert await process.ended() == 0


async def test_a_busy_port_is_a_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start(PORT=str(port))
        assert await process.ended() == 1
    (line,) = process.log
    assert line["reason"] == f"cannot listen on 127.0.0.1 port {port} (Address already in use): set HOST or PORT"


async def test_a_missing_setting_is_a_sentence(start: Start) -> None:
    process = await start(OPERATOR_TOKEN="short")
    assert await process.ended() == 2
    errors = await process.errors()
    assert "OPERATOR_TOKEN is wrong" in errors
    assert "Traceback" not in errors
