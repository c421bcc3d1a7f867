"""Detectors as processes: each in a slot with a port, a disk and a wall clock of its own, and started again where one ends."""

from __future__ import annotations

import asyncio
import shutil
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.stack.ports import HOST, free_run
from tools.stack.probes import http_ok
from tools.stack.processes import Processes, Program, answers

LAUNCHER = Path(__file__).with_name("stepped_worker.py")
WATCH_S = 0.5
READY_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one detector lives; the folder outlives its process."""

    number: int
    port: int
    directory: Path

    @property
    def name(self) -> str:
        return f"detector-{self.number}"

    @property
    def clock(self) -> Path:
        return self.directory / "clock"

    @property
    def disk(self) -> Path:
        return self.directory / "state"


class Workers:
    """Up to `slots` detectors. `wanted` run, unless they are being killed: who ends by itself is started again and told of."""

    def __init__(
        self, directory: Path, env: Mapping[str, str], slots: int, ended: Callable[[str, str], None] | None = None
    ) -> None:
        self._env = dict(env)
        self._processes = Processes(directory)
        self._ended = ended or (lambda _name, _why: None)
        ports = free_run(slots)
        self.slots = [Slot(number, port, directory / f"slot-{number}") for number, port in enumerate(ports, 1)]
        self.wanted: set[int] = set()
        self.frozen: set[int] = set()
        self._coming_back: set[int] = set()
        for slot in self.slots:
            slot.directory.mkdir(parents=True)
            self.step(slot, 0.0)

    def named(self, number: int) -> Slot:
        return self.slots[number - 1]

    async def start(self, slot: Slot) -> None:
        """Returns at once; `ready` tells when it works."""
        self.wanted.add(slot.number)
        self._coming_back.discard(slot.number)
        await self._processes.start(self._program(slot))

    async def kill(self, slot: Slot) -> None:
        """SIGKILL; the slot stays taken until `start`."""
        self.wanted.discard(slot.number)
        self._coming_back.add(slot.number)
        await self._processes.kill(slot.name)

    async def leave(self, slot: Slot) -> float:
        """SIGTERM; the seconds until it was gone."""
        self.wanted.discard(slot.number)
        began = time.monotonic()
        await self._processes.stop(self._program(slot))
        return time.monotonic() - began

    def freeze(self, slot: Slot) -> None:
        self.frozen.add(slot.number)
        self._processes.pause(slot.name)

    def wake(self, slot: Slot) -> None:
        """Of a slot that was told to leave meanwhile nothing may be left."""
        self.frozen.discard(slot.number)
        if slot.number in self.wanted:
            self._processes.resume(slot.name)

    def step(self, slot: Slot, seconds: float) -> None:
        """The slot's wall clock is off by so much from now on."""
        if not slot.clock.exists():
            slot.clock.write_bytes(bytes(8))
        with slot.clock.open("r+b") as file:
            file.write(struct.pack("<d", seconds))

    def lose_disk(self, slot: Slot) -> None:
        shutil.rmtree(slot.disk, ignore_errors=True)

    def running(self) -> list[Slot]:
        """Those that are wanted and not frozen."""
        return [slot for slot in self.slots if slot.number in self.wanted - self.frozen]

    def idle(self) -> list[Slot]:
        """Those where none runs or is to come back."""
        return [
            slot
            for slot in self.slots
            if slot.number not in self.wanted | self._coming_back and self._processes.find(slot.name) is None
        ]

    async def ready(self, slot: Slot, within_s: float = READY_WITHIN_S) -> bool:
        """Whether it was ready in time; also if it was taken away meanwhile."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if slot.number not in self.wanted or await answers(lambda: http_ok(slot.port, "/readyz"), within_s=2):
                return True
            await asyncio.sleep(0.2)
        return False

    async def watch(self) -> None:
        """Never returns: starts again what ended by itself."""
        while True:
            for number in sorted(self.wanted):
                slot = self.named(number)
                if self._processes.find(slot.name) is None:
                    self._ended(slot.name, self.log_end(slot))
                    await self._processes.start(self._program(slot))
            await asyncio.sleep(WATCH_S)

    async def end(self) -> None:
        self.wanted.clear()
        for slot in self.slots:
            await self._processes.kill(slot.name)

    def log_end(self, slot: Slot, characters: int = 1500) -> str:
        log = self._processes.log(slot.name)
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def _program(self, slot: Slot) -> Program:
        return Program(
            name=slot.name,
            command=(sys.executable, str(LAUNCHER), str(slot.clock)),
            directory=slot.directory,
            environment={
                **self._env,
                "HOST": HOST,
                "PORT": str(slot.port),
                "ABANDONMENT_URL": f"http://{HOST}:{slot.port}",
                "STATE_DIR": str(slot.disk),
                "PYTHONUNBUFFERED": "1",
            },
            ready=_at_once,
            stop_within_s=30,
        )


async def _at_once() -> bool:
    return True
