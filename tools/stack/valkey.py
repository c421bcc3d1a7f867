"""Valkey, with an append-only file."""

from dataclasses import dataclass
from pathlib import Path

from tools.stack import wheels
from tools.stack.ports import HOST
from tools.stack.probes import exchange
from tools.stack.processes import Program


@dataclass(frozen=True, kw_only=True)
class Valkey:
    port: int
    directory: Path

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def program(self) -> Program:
        return Program(
            name="valkey",
            command=(
                str(wheels.valkey()),
                *("--bind", HOST),
                *("--port", str(self.port)),
                *("--dir", str(self.directory)),
                *("--appendonly", "yes"),
                *("--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ),
            directory=self.directory,
            ready=self._answers,
        )

    async def _answers(self) -> bool:
        return await exchange(self.port, b"PING\r\n", 5) == b"+PONG"
