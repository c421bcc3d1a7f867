"""The detector as a process on the measured core, and what its own pages say of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.detector.world import World
from tests.bench.ground import MEASURED_CORE
from tools.stack.probes import http_ok
from tools.stack.processes import Processes, Program

MIB = 2**20
SERVICE = "services.abandonment"
Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Steady:
    """Work between two moments: events and seconds."""

    events: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds


class Worker:
    """One detector of a world. It ends with this process, however that ends."""

    def __init__(self, world: World, name: str, module: str = SERVICE, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        directory = world.ground.directory
        self.name = name
        self.state = directory / f"{world.prefix}{name}.state"
        self._processes = Processes(directory)
        self._program = Program(
            name=f"{world.prefix}{name}",
            command=(str(shutil.which("taskset")), "-c", str(MEASURED_CORE), sys.executable, *_profiled(), "-m", module),
            directory=directory,
            environment={
                **world.env,
                "HOST": "127.0.0.1",
                "PORT": str(self._port),
                "ABANDONMENT_URL": f"http://127.0.0.1:{self._port}",
                "STATE_DIR": str(self.state),
                "LOG_LEVEL": "warning",
                **settings,
            },
            ready=self.ready,
            ready_within_s=600,
            stop_within_s=60,
        )  # fmt: skip

    async def start(self) -> None:
        """Returns once it is ready."""
        await self._processes.start(self._program)

    async def stop(self) -> None:
        """In good order; what it kept on disk is deleted."""
        await self._processes.stop(self._program)
        shutil.rmtree(self.state, ignore_errors=True)

    async def kill(self) -> float:
        """SIGKILL; the time (s since the epoch) just before it."""
        process = self._process()
        at = time.time()
        process.kill()
        await self._processes.kill(self._program.name)
        return at

    async def ready(self) -> bool:
        """False too while it does not answer yet. Raises StackError if it has ended."""
        try:
            return await http_ok(self._port, "/readyz")
        except OSError:
            self._processes.require_running(self._program.name)
            return False

    async def samples(self, name: str) -> list[tuple[Labels, float]]:
        """All samples of one of the detector's metrics, named without `trolleybus_detector_`."""

        def read() -> list[tuple[Labels, float]]:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
                page = answer.read().decode()
            return [
                (sample.labels, sample.value)
                for family in text_string_to_metric_families(page)
                for sample in family.samples
                if sample.name.removeprefix("trolleybus_") == f"detector_{name}"
            ]

        try:
            return await asyncio.to_thread(read)
        except OSError:
            await asyncio.sleep(1)  # It may be about to end.
            self._processes.require_running(self._program.name)
            raise

    async def total(self, name: str, **labels: str) -> float:
        """Sum of the samples with these labels."""
        return sum(value for found, value in await self.samples(name) if labels.items() <= found.items())

    async def handled(self) -> float:
        """Records of the log that it has dealt with since it was started."""
        return await self.total("records_total")

    async def partitions(self) -> set[str]:
        """Those that it owns: it waits for silence there."""
        return {labels["partition"] for labels, _ in await self.samples("timers_waiting")}

    def rss_mib(self) -> float:
        return float(self._process().memory_info().rss) / MIB

    def pss_mib(self) -> float:
        return float(self._process().memory_full_info().pss) / MIB

    async def until(
        self, handled: float, every: Callable[[float], Any] = lambda _: None, within_s: float = 3600
    ) -> None:
        """Wait until so many records are dealt with; `every` hears of the number as it grows."""
        deadline, shown = time.monotonic() + within_s, time.monotonic()
        while (now := await self.handled()) < handled:
            every(now)
            if parked := await self.total("parked_total"):
                raise RuntimeError(
                    f"{self.name} parked {parked:,.0f} records: {self._processes.log(self._program.name)}"
                )
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} dealt with {now:,.0f} of {handled:,.0f} records within {within_s:g} s")
            if time.monotonic() > shown + 10:
                shown = time.monotonic()
                print(f"    {self.name}: {now:,.0f} of {handled:,.0f} records", flush=True)
            await asyncio.sleep(0.2)
        every(now)

    async def steady(self, start: float, end: float, every: Callable[[float], Any] = lambda _: None) -> Steady:
        """How fast it goes from the first to the second number of records."""
        seen: list[tuple[float, float]] = []

        def note(handled: float) -> None:
            seen.append((time.perf_counter(), handled))
            every(handled)

        await self.until(start)
        await self.until(end, note)
        (first_at, first), (last_at, last) = seen[0], seen[-1]
        if last_at - first_at < 0.5:
            raise ValueError("the detector was through the log too soon to be measured: give it more EVENTS")
        return Steady(last - first, last_at - first_at)

    def _process(self) -> psutil.Process:
        process = self._processes.find(self._program.name)
        if process is None:
            raise RuntimeError(f"{self.name} has ended: {self._processes.log(self._program.name)}")
        return process


@asynccontextmanager
async def fresh_worker(world: World, name: str, module: str = SERVICE) -> AsyncIterator[Worker]:
    """A detector that begins with nothing, and of which nothing stays."""
    await asyncio.to_thread(world.forget)
    worker = Worker(world, name, module)
    try:
        await worker.start()
        yield worker
    finally:
        await worker.stop()


def _profiled() -> tuple[str, ...]:
    path = os.environ.get("PROFILE")
    return ("-m", "cProfile", "-o", str(Path(path).absolute())) if path else ()
