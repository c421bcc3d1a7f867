"""What a stack remembers in its folder: number of brokers, ports and secrets (stack.json), and `env` for scripts."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from tools.stack.errors import StackError
from tools.stack.kafka import new_id
from tools.stack.ports import NAMES, Ports


@dataclass(frozen=True, kw_only=True)
class State:
    brokers: int
    ports: Ports
    cluster: str
    postgres_password: str
    installation_secret: str
    signing_key: str
    operator_token: str

    @property
    def integration_key(self) -> str:
        """Derived, not drawn: stacks that were made before there was one have it too."""
        return base64.b64encode(hashlib.sha256(f"integrations {self.installation_secret}".encode()).digest()).decode()

    @classmethod
    def new(cls, brokers: int, ports: Ports) -> Self:
        return cls(
            brokers=brokers,
            ports=ports.settled(brokers),
            cluster=new_id(),
            postgres_password=secrets.token_urlsafe(24),
            installation_secret=secrets.token_urlsafe(32),
            signing_key=secrets.token_urlsafe(32),
            operator_token=secrets.token_urlsafe(32),
        )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        try:
            found = json.loads((directory / "stack.json").read_text(encoding="utf-8"))
            return cls(**{**found, "ports": Ports(**found["ports"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise StackError(
                f"{directory / 'stack.json'} cannot be read ({error}): `trolleybus stack reset` begins anew."
            ) from error

    def with_ports(self, wanted: Ports) -> Self:
        """The same, with those of the wanted ports that are not 0."""
        chosen = {name: getattr(wanted, name) or getattr(self.ports, name) for name in NAMES}
        return replace(self, ports=Ports(**chosen).settled(self.brokers))

    def write(self, directory: Path, environment: Mapping[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        write_private(directory / "stack.json", json.dumps(asdict(self), indent=2) + "\n")
        write_private(directory / "env", "".join(f"{key}={value}\n" for key, value in environment.items()))


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once, readable by its owner alone."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def read_environment(directory: Path) -> dict[str, str]:
    """What `env` says. Raises StackError where no stack was ever started."""
    try:
        lines = (directory / "env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise StackError(f"There is no stack in {directory}: start one with `trolleybus stack up`.") from error
    return dict(line.split("=", 1) for line in lines if line)


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """One command at a time works on a state folder."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StackError(
                f"The stack in {directory} belongs to a command that still runs (process {lock.read() or 'unknown'}): "
                "stop that one first, or use another folder with --dir or TROLLEYBUS_DEV_DIR."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
