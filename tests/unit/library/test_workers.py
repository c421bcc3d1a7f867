"""Several processes of one service, as far as starting them again goes; the processes are real, the service is none."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.eventually import eventually
from trolleybus import workers as module
from trolleybus.runtime import ServiceFailed
from trolleybus.workers import _Workers

# Ends as its turn says: "ends" with an error at once, "dies" by a signal, "stays".
PROGRAM = """
import os, pathlib, signal, sys, time
log = pathlib.Path(sys.argv[1])
turn = len(log.read_text()) if log.exists() else 0
log.write_text("x" * (turn + 1))
how = sys.argv[2].split(",")[turn]
if how == "ends":
    sys.exit(1)
if how == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


def started(monkeypatch: pytest.MonkeyPatch, log: Path, turns: str) -> _Workers:
    monkeypatch.setattr(module, "_same_again", lambda: [sys.executable, "-c", PROGRAM, str(log), turns])
    monkeypatch.setattr(module, "AGAIN_AFTER_S", 0.01)
    settings = SimpleNamespace(host="127.0.0.1", port=0, workers=1, drain_notice_seconds=0, drain_timeout_seconds=0)
    return _Workers(cast(Any, settings))


async def test_what_cannot_start_at_all_ends_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed):
        await asyncio.wait_for(started(monkeypatch, tmp_path / "log", "ends").run(), 20)


async def test_a_replacement_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    workers = started(monkeypatch, log, "dies,ends,ends,stays")
    running = asyncio.create_task(workers.run())

    async def is_there_again() -> bool:
        return log.exists() and len(log.read_text()) == 4

    await eventually(is_there_again)
    assert not running.done()
    workers._stop.set()
    await asyncio.wait_for(running, 20)
