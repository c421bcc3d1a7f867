"""A service in several processes on one port: how many is just a number.

The first process listens, starts the others with its socket and watches them; it serves nothing itself. Each of them is the
whole service, with connections of its own. Their metrics are added up, in files that they share.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead

from trolleybus.http.metrics import SHARED_FOLDER
from trolleybus.runtime import Inherited, ServiceFailed, listen, run, run_service, settle_settings
from trolleybus.settings import WorkerSettings
from trolleybus.telemetry import get_logger

PASSED = "TROLLEYBUS_WORKER"
"""What a worker inherits, as two numbers of open files: the listening socket, a pipe that ends with the first process."""
TOO_SOON_S = 5.0
"""Who fails so soon after the start would do so again."""
AGAIN_AFTER_S = 1.0
KILLED_AFTER_S = 5.0
"""Beyond the time that draining may take."""

SettingsT = TypeVar("SettingsT", bound=WorkerSettings)

logger = get_logger(__name__)


def start(settings_class: type[SettingsT], build: Callable[[SettingsT], FastAPI]) -> NoReturn:
    """As trolleybus.runtime.start, in as many processes as the settings say."""
    settings = settle_settings(settings_class)
    passed = os.environ.get(PASSED)
    if passed is not None:
        listener, lifeline = (int(number) for number in passed.split())
        run_service(build(settings), settings, Inherited(socket.socket(fileno=listener), lifeline))
    if settings.workers == 1:
        run_service(build(settings), settings)
    run(_Workers(settings).run())


class _Workers:
    """Keeps as many processes running as the settings say."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._failed = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; raises ServiceFailed where a process fails as soon as it is first started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        settings = self._settings
        listener = listen(settings.host, settings.port)
        ends, lifeline = os.pipe()
        host, port = listener.getsockname()[:2]
        logger.info("starting", url=f"http://{host}:{port}", workers=settings.workers)
        try:
            with tempfile.TemporaryDirectory(prefix="trolleybus-metrics-") as folder:
                env = {**os.environ, PASSED: f"{listener.fileno()} {ends}", SHARED_FOLDER: folder}
                await asyncio.gather(
                    *[self._keep(env, folder, (listener.fileno(), ends)) for _ in range(settings.workers)]
                )
        finally:
            listener.close()
            os.close(ends)
            os.close(lifeline)
        if self._failed:
            raise ServiceFailed("a worker failed as soon as it had started")
        logger.info("stopped")

    async def _keep(self, env: dict[str, str], folder: str, passed: tuple[int, int]) -> None:
        """One after another in one place. What cannot be started now, though it could before, is tried again: others serve."""
        is_first = True
        while not self._stop.is_set():
            began = time.monotonic()
            worker = await asyncio.create_subprocess_exec(*_same_again(), env=env, pass_fds=passed)
            code = await self._ended(worker)
            mark_process_dead(worker.pid, folder)  # type: ignore[no-untyped-call]  # prometheus-client has no types there
            if self._stop.is_set():
                return
            logger.error("a worker ended", worker=worker.pid, code=code)
            if is_first and code > 0 and time.monotonic() - began < TOO_SOON_S:
                self._failed = True
                self._stop.set()
                return
            is_first = False
            await asyncio.sleep(AGAIN_AFTER_S)

    async def _ended(self, worker: asyncio.subprocess.Process) -> int:
        """The exit code, once it has ended by itself or was asked to."""
        ending = asyncio.ensure_future(worker.wait())
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            worker.terminate()
            patience = self._settings.drain_notice_seconds + self._settings.drain_timeout_seconds + KILLED_AFTER_S
            await asyncio.wait({ending}, timeout=patience)
            if not ending.done():
                logger.error("a worker did not end in time and was killed", worker=worker.pid)
                worker.kill()
        return await ending


def _same_again() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]
