"""Trolleybus' own services as processes, on a stack that runs."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tools.stack.errors import StackError, first_of
from tools.stack.parts import SERVICES
from tools.stack.ports import require_free
from tools.stack.probes import http_ok
from tools.stack.processes import Processes, Program
from tools.stack.progress import Narrator, Silence

_WATCH_S = 0.5


class Services:
    """The services of `names`, each on the port of its URL in `env` (a stack's `env()`), with logs below `directory`.

    They end with this process, however it ends."""

    def __init__(self, env: Mapping[str, str], directory: Path, names: Sequence[str] = SERVICES) -> None:
        self._processes = Processes(directory.absolute())
        self._programs = {name: _program(name, env, directory.absolute()) for name in names}
        self._ports = {name: _port(name, env) for name in names}

    async def up(self, progress: Narrator | None = None) -> None:
        """Starts them and returns once each one's /readyz is content. Raises StackError, and then none is left running."""
        for name, port in self._ports.items():
            if self._processes.find(name) is not None:
                raise StackError(f"{name} already runs here: stop the command that started it first.")
            require_free(port, name, f"`trolleybus stack down` and `trolleybus stack up --{name}-port N`")
        (progress or Silence()).say("Starting " + ", ".join(self._programs))
        try:
            async with asyncio.TaskGroup() as tasks:
                for name in self._programs:
                    tasks.create_task(self.start(name))
        except BaseExceptionGroup as several:
            await self.down()
            raise first_of(several) from several
        except BaseException:
            await self.down()
            raise

    async def down(self) -> None:
        """Stops them: each first finishes what it has begun."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._programs:
                tasks.create_task(self.stop(name))

    async def watch(self) -> None:
        """Returns never. Raises StackError with the end of its log when a service ends that nobody stopped."""
        while True:
            for name in self._programs:
                self._processes.require_running(name)
            await asyncio.sleep(_WATCH_S)

    async def start(self, name: str) -> None:
        """Starts one and waits until it is ready."""
        await self._processes.start(self._programs[name])

    async def stop(self, name: str) -> None:
        """Ends one in good order (SIGTERM)."""
        await self._processes.stop(self._programs[name])

    async def kill(self, name: str) -> None:
        """Ends one as a crash would (SIGKILL)."""
        await self._processes.kill(name)

    def pause(self, name: str) -> None:
        """Freezes one (SIGSTOP): its connections stay, nothing answers."""
        self._processes.pause(name)

    def resume(self, name: str) -> None:
        self._processes.resume(name)

    def pid(self, name: str) -> int | None:
        """None where it does not run."""
        process = self._processes.find(name)
        return None if process is None else process.pid

    def log(self, name: str) -> Path:
        return self._processes.log(name)


def apply_topics(env: Mapping[str, str]) -> None:
    """Creates the topics and registers the schemas, as a person would before a first start. Raises StackError."""
    command = [str(Path(sys.executable).with_name("trolleybus")), "topics", "apply"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"`trolleybus topics apply` failed:\n{done.stdout}{done.stderr}".rstrip())


def _port(name: str, env: Mapping[str, str]) -> int:
    port = urlsplit(env[f"{name.upper()}_URL"]).port
    if port is None:
        raise StackError(f"{name.upper()}_URL names no port: {env[f'{name.upper()}_URL']}")
    return port


def _program(name: str, env: Mapping[str, str], directory: Path) -> Program:
    port = _port(name, env)
    return Program(
        name=name,
        command=(sys.executable, "-m", f"services.{name}"),
        directory=directory,
        environment={
            **env,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            "STATE_DIR": str(directory / f"{name}-state"),
        },
        ready=lambda: http_ok(port, "/readyz"),
        stop_within_s=20,
    )
