"""The whole local stack of one state folder, as tests, the demo and the command line use it."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.stack.artefacts import ROOM_NEEDED, Artefacts, require_room
from tools.stack.errors import StackError, first_of
from tools.stack.kafka import Detour
from tools.stack.parts import Parts
from tools.stack.ports import Ports
from tools.stack.processes import Processes, Program, answers
from tools.stack.progress import Narrator, Silence
from tools.stack.state import State, claimed

_ROOM_TO_GO_ON = ROOM_NEEDED // 5


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """`pid` is None and `memory_mib` 0 where the part does not run."""

    name: str
    port: int
    pid: int | None
    memory_mib: int
    ready: bool


class Stack:
    """Kafka, the schema registry, PostgreSQL and Valkey, with their state below `directory`.

    A port of 0 is any free one, chosen once and remembered with the state; so is the number of brokers (1 or 3). The parts' names are kafka-1 (to kafka-3), registry,
    postgres and valkey. Unless `detached`, the servers end with this process, however it ends.
    `detours` gives each broker a second listener, for as long as this object is used to start them."""

    def __init__(
        self,
        directory: Path,
        ports: Ports | None = None,
        brokers: int | None = None,
        *,
        kafka_heap: str | None = None,
        detached: bool = False,
        cache: Path | None = None,
        detours: Sequence[Detour] = (),
    ) -> None:
        if brokers not in (None, 1, 3):
            raise StackError(f"A stack has 1 broker or 3, not {brokers}.")
        self.directory = directory.absolute()
        self._wanted_ports = ports or Ports.any()
        self._brokers = brokers
        self._heap = kafka_heap or os.environ.get("TROLLEYBUS_KAFKA_HEAP") or "192m"
        self._detached = detached
        self._detours = detours
        self._artefacts = Artefacts(cache)
        self._processes = Processes(self.directory, detached=detached)
        self._claim: ExitStack | None = (
            None  # held from up to down, so that no other command stops or resets a stack in use
        )

    async def up(self, progress: Narrator | None = None) -> None:
        """Starts everything and returns once it is ready. Raises StackError, and then nothing is left running."""
        narrator = progress or Silence()
        with ExitStack() as claim:
            claim.enter_context(claimed(self.directory))
            parts = self._settle()
            await self._fetch(narrator)
            narrator.say("Starting " + ", ".join(parts.programs))
            try:
                await parts.start(self._processes)
            except BaseExceptionGroup as several:
                await self._stop_all(parts)
                raise first_of(several) from several
            except BaseException:
                await self._stop_all(parts)
                raise
            if not self._detached:
                self._claim = claim.pop_all()

    async def down(self) -> None:
        """Stops what runs and keeps what it holds."""
        with self._claimed_or_own():
            if parts := self._known():
                await self._stop_all(parts)

    async def reset(self) -> None:
        """Ends what runs and deletes all state."""
        with self._claimed_or_own():
            if parts := self._known():
                async with asyncio.TaskGroup() as tasks:
                    for program in parts.programs.values():
                        tasks.create_task(self._processes.discard(program))
            shutil.rmtree(self.directory, ignore_errors=True)

    def env(self) -> dict[str, str]:
        """The addresses and secrets of everything, named as the services' settings are."""
        return self._require().environment()

    async def status(self) -> list[PartStatus]:
        """One row a part; none where no stack was ever started."""
        parts = self._known()
        return [] if parts is None else [await self._part_status(parts, name) for name in parts.programs]

    async def start(self, name: str) -> None:
        """Starts a part that was stopped or killed, and waits until it is ready."""
        await self._processes.start(self._program(name))

    async def stop(self, name: str) -> None:
        """Ends a part in good order."""
        await self._processes.stop(self._program(name))

    async def kill(self, name: str) -> None:
        """Ends a part as a crash would (SIGKILL)."""
        await self._processes.kill(self._program(name).name)

    def pause(self, name: str) -> None:
        """Freezes a part (SIGSTOP): its connections stay, nothing answers."""
        self._processes.pause(self._program(name).name)

    def resume(self, name: str) -> None:
        self._processes.resume(self._program(name).name)

    def running(self) -> Sequence[str]:
        """The parts that run."""
        parts = self._known()
        return [] if parts is None else [name for name in parts.programs if self._processes.find(name)]

    def _claimed_or_own(self) -> AbstractContextManager[object]:
        own, self._claim = self._claim, None
        return own or claimed(self.directory)

    def _settle(self) -> Parts:
        """Decides on ports, refuses what cannot start, and writes the state down."""
        if running := self.running():
            raise StackError(
                f"A stack already runs in {self.directory} ({', '.join(running)}). Its addresses are in "
                f"{self.directory / 'env'}; `trolleybus stack down` stops it."
            )
        state = State.read(self.directory)
        require_room(self.directory, _ROOM_TO_GO_ON if state else ROOM_NEEDED)
        if state is None:
            state = State.new(self._brokers or 1, self._wanted_ports)
        elif self._brokers not in (None, state.brokers):
            raise StackError(
                f"The stack in {self.directory} was made with {state.brokers} broker(s), not {self._brokers}: "
                "`trolleybus stack reset` deletes its data, or use another folder with --dir."
            )
        parts = self._parts(state.with_ports(self._wanted_ports))
        parts.require_free_ports()
        parts.state.write(self.directory, parts.environment())
        return parts

    async def _fetch(self, narrator: Narrator) -> None:
        try:
            await asyncio.to_thread(self._artefacts.fetch, narrator)
        except asyncio.CancelledError:
            self._artefacts.cancel()
            raise

    async def _stop_all(self, parts: Parts) -> None:
        async with asyncio.TaskGroup() as tasks:
            for program in parts.programs.values():
                tasks.create_task(self._processes.stop(program))

    async def _part_status(self, parts: Parts, name: str) -> PartStatus:
        process = self._processes.find(name)
        memory = 0 if process is None else memory_mib(process)
        ready = process is not None and await answers(parts.programs[name].ready, within_s=2)
        pid = None if process is None else process.pid
        return PartStatus(name=name, port=parts.ports[name], pid=pid, memory_mib=memory, ready=ready)

    def _parts(self, state: State) -> Parts:
        return Parts(state, self.directory, self._artefacts, self._heap, self._detours)

    def _known(self) -> Parts | None:
        state = State.read(self.directory)
        return None if state is None else self._parts(state)

    def _require(self) -> Parts:
        if (parts := self._known()) is None:
            raise StackError(f"There is no stack in {self.directory}: start one with `trolleybus stack up`.")
        return parts

    def _program(self, name: str) -> Program:
        programs = self._require().programs
        if name not in programs:
            raise StackError(f"The stack has no part {name!r}; it has {', '.join(programs)}.")
        return programs[name]


def memory_mib(process: psutil.Process) -> int:
    """Of the process and its children, with shared pages counted once a process that shares them (as a share)."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total // 2**20
