"""Starts, watches and ends the processes of one folder: logs in logs/, pid files in run/."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

from tools.stack.errors import StackError

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Program:
    """How one process is started, known to be ready, and stopped."""

    name: str
    command: tuple[str, ...]
    directory: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None  # where root has to become someone else
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # when the process that started it is gone
    ready_within_s: float = 60
    stop_within_s: float = 15


class Processes:
    """`detached` processes outlive this one; the others are ended by the kernel when this one dies, however it dies."""

    def __init__(self, directory: Path, *, detached: bool = False) -> None:
        self._run = directory / "run"
        self._logs = directory / "logs"
        self._detached = detached
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def find(self, name: str) -> psutil.Process | None:
        """The process that runs under this name, whoever started it. A reused pid is not taken for it."""
        if (child := self._children.get(name)) is not None and child.poll() is not None:
            return None
        try:
            known = json.loads((self._run / f"{name}.json").read_text(encoding="utf-8"))
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["started"]) > 1 or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process

    async def start(self, program: Program) -> None:
        """Returns once the program is ready. Raises StackError with the end of its log if it dies or takes too long."""
        if self.find(program.name) is None:
            self._spawn(program)
        deadline = monotonic() + program.ready_within_s
        while not await answers(program.ready):
            self.require_running(program.name)
            if monotonic() > deadline:
                raise StackError(
                    f"{program.name} was not ready after {program.ready_within_s:.0f} s. {self._evidence(program.name)}"
                )
            await asyncio.sleep(_POLL_S)

    async def stop(self, program: Program) -> None:
        """Asks the program to end, and makes it end after its bound."""
        await self._end(program, program.stop_signal)

    async def discard(self, program: Program) -> None:
        """Ends the program as fast as it leaves nothing behind in the system; what it holds may be torn."""
        await self._end(program, program.orphan_signal)

    async def kill(self, name: str) -> None:
        """Ends the program and its children as a crash would."""
        if (process := self.find(name)) is not None:
            for member in _tree(process):
                _signal(member, signal.SIGKILL)
            if not await self._gone(name, 10):
                raise StackError(f"{name} (process {process.pid}) does not end, not even when killed.")
        self._forget(name)

    def require_running(self, name: str) -> None:
        """Raises StackError with the end of the program's log where it has ended."""
        if self.find(name) is None:
            raise StackError(f"{name} has ended by itself. {self._evidence(name)}")

    def pause(self, name: str) -> None:
        for process in self._running_tree(name):
            _signal(process, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        for process in self._running_tree(name):
            _signal(process, signal.SIGCONT)

    def _spawn(self, program: Program) -> None:
        for folder in (self._run, self._logs, program.directory):
            folder.mkdir(parents=True, exist_ok=True)
        options: list[str] = []
        if program.user is not None:
            options += ["--user", str(program.user)]
        if not self._detached:
            options += ["--signal-with-parent", program.orphan_signal.name, str(os.getpid())]
        with self.log(program.name).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCH), *options, "--", *program.command],
                cwd=program.directory,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[program.name] = child
        known = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
        (self._run / f"{program.name}.json").write_text(json.dumps(known), encoding="utf-8")

    async def _end(self, program: Program, number: signal.Signals) -> None:
        process = self.find(program.name)
        if process is not None:
            for member in _tree(process):  # a paused process would not act on the signal
                _signal(member, signal.SIGCONT)
            _signal(process, number)
            if not await self._gone(program.name, program.stop_within_s):
                await self.kill(program.name)
        self._forget(program.name)

    async def _gone(self, name: str, within_s: float) -> bool:
        deadline = monotonic() + within_s
        while self.find(name) is not None:
            if monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_S / 2)
        return True

    def _forget(self, name: str) -> None:
        (self._run / f"{name}.json").unlink(missing_ok=True)
        if (child := self._children.pop(name, None)) is not None:
            child.wait(timeout=5)

    def _running_tree(self, name: str) -> list[psutil.Process]:
        process = self.find(name)
        if process is None:
            raise StackError(f"{name} does not run.")
        return _tree(process)

    def _evidence(self, name: str) -> str:
        log = self.log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:] if log.exists() else []
        return f"The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # psutil compares the start time first
    except psutil.NoSuchProcess:
        return


async def answers(ready: Callable[[], Awaitable[bool]], within_s: float = 5) -> bool:
    """A readiness question, where silence and refusal mean no."""
    try:
        async with asyncio.timeout(within_s):
            return await ready()
    except (OSError, TimeoutError):
        return False
