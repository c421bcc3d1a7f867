"""Which port each part listens on, always on 127.0.0.1."""

import os
import random
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Self

import psutil

from tools.stack.errors import StackError

HOST = "127.0.0.1"
# Below the ports that systems give to outgoing connections: nothing takes one while its server is being restarted.
_CHOICE = range(20000, 32000)
_KEPT_S = 600.0
"""So long a port that was given out is given to nobody else: its server may not listen on it yet."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """0 stands for any free one. With several brokers, broker n listens on kafka + n - 1."""

    kafka: int = 19092
    registry: int = 18081
    postgres: int = 15432
    valkey: int = 16379
    ingest: int = 8101
    abandonment: int = 8102
    campaigns: int = 8103
    messaging: int = 8104
    analytics: int = 8105
    kafka_controller: int = 0
    registry_management: int = 0

    @classmethod
    def any(cls) -> Self:
        return cls(**dict.fromkeys(NAMES, 0))

    @classmethod
    def wanted(
        cls, environ: Mapping[str, str], *, fresh: bool, options: Mapping[str, int | None] | None = None
    ) -> Self:
        """What the options, else variables like TROLLEYBUS_KAFKA_PORT, ask for; the rest by default for a fresh stack, else 0,
        which is what a stack remembers."""
        chosen = {name: _number(name, environ) for name in NAMES if environ.get(variable(name))}
        chosen |= {name: port for name, port in (options or {}).items() if port is not None}
        return replace(cls() if fresh else cls.any(), **chosen)

    def settled(self, brokers: int) -> Self:
        """The same with a free port wherever 0 stood."""
        taken = {port for port in asdict(self).values() if port}
        chosen = {}
        for name, port in asdict(self).items():
            if port == 0:
                run = brokers if name in _PER_BROKER else 1
                chosen[name] = _free(run, taken)
                taken.update(range(chosen[name], chosen[name] + run))
        return replace(self, **chosen)


NAMES = tuple(field.name for field in fields(Ports))
_PER_BROKER = ("kafka", "kafka_controller")


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}-port"


def variable(name: str) -> str:
    return f"TROLLEYBUS_{name.upper()}_PORT"


def require_free(port: int, what: str, remedy: str) -> None:
    """Raises StackError that names the port, who has it and what to do."""
    if not _bindable(port):
        raise StackError(
            f"Port {port}, meant for {what}, is taken{_holder(port)}. Stop that, or choose another port (0: any free one): {remedy}."
        )


def free_run(count: int) -> range:
    """So many free ports in a row."""
    first = _free(count, set())
    return range(first, first + count)


def _number(name: str, environ: Mapping[str, str]) -> int:
    text = environ[variable(name)]
    if not text.isdigit() or int(text) > 65535:
        raise StackError(f"{variable(name)} is {text!r}: give a port's number, or 0 for any free one.")
    return int(text)


def _free(run: int, taken: set[int]) -> int:
    for start in random.sample(_CHOICE, 500):
        wanted = range(start, start + run)
        if taken.isdisjoint(wanted) and all(_bindable(port) and _given_to_us(port) for port in wanted):
            return start
    raise StackError(f"No free port was found between {_CHOICE.start} and {_CHOICE.stop}.")


def _given_to_us(port: int) -> bool:
    """Whether it is ours now: processes side by side agree on it by files that only one can make."""
    given = Path(tempfile.gettempdir()) / f"trolleybus-ports-{os.getuid()}"
    given.mkdir(exist_ok=True)
    mark = given / str(port)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        if time.time() - mark.stat().st_mtime < _KEPT_S:
            return False
        mark.touch()
    return True


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                return " by another user's process"
            try:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return ""
    return ""
