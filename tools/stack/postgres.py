"""PostgreSQL 18, one server with one database a service."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tools.stack import launch, wheels
from tools.stack.errors import StackError
from tools.stack.ports import HOST
from tools.stack.processes import Program

USER = "trolleybus"
_NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Postgres:
    port: int
    directory: Path
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@{HOST}:{self.port}/postgres"

    @property
    def program(self) -> Program:
        settings = {
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "48MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        return Program(
            name="postgres",
            command=(
                str(wheels.postgres("postgres")),
                *("-D", str(self._data), "-h", HOST, "-p", str(self.port)),
                *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
            ),
            directory=self.directory,
            ready=self._answers,
            user=_user(),
            stop_signal=signal.SIGINT,  # the fast shutdown: it does not wait for clients
            orphan_signal=signal.SIGQUIT,  # the immediate one
        )

    async def prepare(self) -> None:
        """Makes the cluster the first time."""
        if self._data.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        fresh, secret = self.directory / "data.new", self.directory / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(self.password, encoding="utf-8")
        user = _user()
        if user is not None:
            os.chown(fresh, user, user)
        command = (
            *(sys.executable, "-I", "-S", str(Path(launch.__file__))),
            *(() if user is None else ("--user", str(user))),
            *("--", str(wheels.postgres("initdb")), "-D", str(fresh), "-U", USER, "--pwfile", str(secret)),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync"),
        )
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, cwd=self.directory
        )
        secret.unlink()
        if done.returncode != 0:
            raise StackError(f"PostgreSQL could not create its files in {fresh}: {done.stdout}{done.stderr}")
        fresh.rename(self._data)

    async def create_databases(self, names: Sequence[str]) -> None:
        """Those that are missing."""
        async with await self._connect() as connection:
            rows = await (await connection.execute("select datname from pg_database")).fetchall()
            for name in sorted(set(names) - {row[0] for row in rows}):
                await connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    async def _connect(self) -> psycopg.AsyncConnection[tuple[str, ...]]:
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True, connect_timeout=3)

    async def _answers(self) -> bool:
        try:
            async with await self._connect() as connection:
                await connection.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True


def _user() -> int | None:
    """PostgreSQL refuses to run as root."""
    return _NOBODY if os.geteuid() == 0 else None
