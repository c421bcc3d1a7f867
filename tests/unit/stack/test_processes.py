"""Processes are started ready, found by more than a number, and never left behind."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from tools.stack.errors import StackError
from tools.stack.ports import Ports
from tools.stack.processes import Processes, Program
from tools.stack.services import Services

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('deaf').touch(); time.sleep(600)",
)


def program(directory: Path, command: tuple[str, ...], ready: Callable[[], bool] = lambda: True) -> Program:
    async def answer() -> bool:
        return ready()

    return Program(name="it", command=command, directory=directory, ready=answer, stop_within_s=0.2)


async def test_a_program_that_dies_while_starting_shows_the_end_of_its_log(tmp_path: Path) -> None:
    dying = program(tmp_path, (sys.executable, "-c", "raise SystemExit('no such topic')"), lambda: False)
    with pytest.raises(StackError, match=r"it has ended by itself(.|\n)*it\.log:\n    no such topic"):
        await Processes(tmp_path).start(dying)


async def test_a_program_that_ignores_the_request_to_stop_is_ended(tmp_path: Path) -> None:
    stubborn = program(tmp_path, STUBBORN, (tmp_path / "deaf").exists)
    processes = Processes(tmp_path)
    await processes.start(stubborn)
    await processes.stop(stubborn)
    assert processes.find("it") is None


async def test_a_frozen_program_can_be_stopped(tmp_path: Path) -> None:
    sleeper = program(tmp_path, SLEEP)
    processes = Processes(tmp_path)
    await processes.start(sleeper)
    processes.pause("it")
    await processes.stop(sleeper)
    assert processes.find("it") is None


async def test_a_reused_pid_is_not_taken_for_the_program_and_never_killed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "it.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    processes = Processes(tmp_path)
    assert processes.find("it") is None
    await processes.kill("it")


async def test_programs_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(tmp_path))
    known = Processes(tmp_path)
    child = await _until(lambda: known.find("it"))
    parent.kill()
    await parent.wait()
    await _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_detached_program_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(tmp_path), "detached")
    assert await parent.wait() == 0
    known = Processes(tmp_path)
    assert known.find("it") is not None
    await known.kill("it")
    assert known.find("it") is None


async def test_services_get_their_port_and_settings_and_one_that_ends_is_noticed(
    tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").touch()
    (tmp_path / "services" / "ingest.py").write_text(_SERVICE)
    env = {"INGEST_URL": f"http://127.0.0.1:{free_port}", "OPERATOR_TOKEN": "of the stack"}
    services = Services(env, tmp_path, ["ingest"])
    await services.up()
    try:
        assert "of the stack" in services.log("ingest").read_text()
        with pytest.raises(StackError, match="already runs here"):
            await Services(env, tmp_path, ["ingest"]).up()
        watch = asyncio.create_task(services.watch())
        await services.kill("ingest")
        with pytest.raises(StackError, match="ingest has ended by itself"):
            await watch
        await services.start("ingest")
        assert services.pid("ingest") is not None
    finally:
        await services.down()
    assert services.pid("ingest") is None


@pytest.fixture
def free_port() -> int:
    return Ports.any().settled(1).ingest


T = TypeVar("T")


async def _until(condition: Callable[[], T | None]) -> T:
    async with asyncio.timeout(20):
        while not (found := condition()):  # noqa: ASYNC110  # another process gives no event
            await asyncio.sleep(0.02)
    return found


_PARENT = """
import asyncio, sys, time
from pathlib import Path
from typing import TypeVar
from tools.stack.ports import Ports
from tools.stack.processes import Processes, Program

async def ready(): return True

folder = Path(sys.argv[1])
command = (sys.executable, "-c", "import time; time.sleep(600)")
processes = Processes(folder, detached=len(sys.argv) > 2)
asyncio.run(processes.start(Program(name="it", command=command, directory=folder, ready=ready)))
if len(sys.argv) == 2:
    time.sleep(600)
"""

_SERVICE = """
import http.server, os

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

print(os.environ["OPERATOR_TOKEN"])
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Ready).serve_forever()
"""
