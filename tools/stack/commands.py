"""`trolleybus stack …` and `trolleybus up`."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tools.stack.errors import StackError
from tools.stack.parts import SERVICES
from tools.stack.ports import Ports
from tools.stack.progress import Terminal
from tools.stack.services import Services, apply_topics
from tools.stack.stack import PartStatus, Stack
from tools.stack.state import State, claimed, read_environment
from trolleybus.cli import CommandError, dev_dir

stack = typer.Typer(no_args_is_help=True, help="The local stack: Kafka, schema registry, PostgreSQL and Valkey.")

Directory = Annotated[
    Path | None, typer.Option("--dir", help="Folder of the stack's state (else TROLLEYBUS_DEV_DIR, else .dev).")
]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one, chosen once and remembered.")]
Brokers = Annotated[int | None, typer.Option(help="1, or 3 that replicate to each other.")]
Heap = Annotated[str | None, typer.Option(help="Java heap of each broker, as 192m (else TROLLEYBUS_KAFKA_HEAP).")]


@stack.command("up")
def stack_up(
    *,
    directory: Directory = None,
    brokers: Brokers = None,
    kafka_heap: Heap = None,
    kafka_port: Port = None,
    registry_port: Port = None,
    postgres_port: Port = None,
    valkey_port: Port = None,
    ingest_port: Port = None,
    abandonment_port: Port = None,
    campaigns_port: Port = None,
    messaging_port: Port = None,
    analytics_port: Port = None,
) -> None:
    """Start the servers and leave them running; their addresses are then in .dev/env."""
    options = {
        "kafka": kafka_port,
        "registry": registry_port,
        "postgres": postgres_port,
        "valkey": valkey_port,
        "ingest": ingest_port,
        "abandonment": abandonment_port,
        "campaigns": campaigns_port,
        "messaging": messaging_port,
        "analytics": analytics_port,
    }
    folder = directory or dev_dir()
    with _told():
        ports = Ports.wanted(os.environ, fresh=State.read(folder) is None, options=options)
        servers = Stack(folder, ports, brokers, kafka_heap=kafka_heap, detached=True)
        rows = asyncio.run(_up(servers))
        _show(rows)
        typer.echo(f"Addresses and secrets: {servers.directory / 'env'}. Stop with `trolleybus stack down`.")


@stack.command("down")
def stack_down(directory: Directory = None) -> None:
    """Stop the servers; what they hold is kept."""
    with _told():
        asyncio.run(Stack(directory or dev_dir()).down())


@stack.command("reset")
def stack_reset(directory: Directory = None) -> None:
    """Stop the servers and delete everything they hold."""
    with _told():
        asyncio.run(Stack(directory or dev_dir()).reset())


@stack.command("status")
def stack_status(directory: Directory = None) -> None:
    """Show each server; exit code 1 where one is not ready."""
    with _told():
        rows = asyncio.run(Stack(directory or dev_dir()).status())
        if not rows:
            raise StackError(f"There is no stack in {directory or dev_dir()}: start one with `trolleybus stack up`.")
    _show(rows)
    if not all(row.ready for row in rows):
        raise typer.Exit(1)


def up(directory: Directory = None) -> None:
    """Start the five services on the running stack and stay until Ctrl-C."""
    folder = (directory or dev_dir()).absolute()
    with _told():
        environment = read_environment(folder)
        if not Stack(folder).running():
            raise StackError(f"The stack in {folder} does not run: start it with `trolleybus stack up`.")
        with claimed(folder), suppress(KeyboardInterrupt, asyncio.CancelledError):  # how a person ends it
            asyncio.run(_serve(environment, folder))


async def _up(servers: Stack) -> list[PartStatus]:
    rows = await servers.status()
    if rows and all(row.pid for row in rows):
        typer.echo(f"The stack in {servers.directory} already runs.")
    else:
        await servers.up(Terminal())
    return await servers.status()


async def _serve(environment: dict[str, str], folder: Path) -> None:
    main = asyncio.current_task()
    assert main is not None  # noqa: S101  # this is a coroutine that a task runs
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    await asyncio.to_thread(apply_topics, environment)
    services = Services(environment, folder)
    await services.up(Terminal())
    try:
        for name in SERVICES:
            typer.echo(f"  {name:<12} {environment[f'{name.upper()}_URL']}")
        typer.echo("Ctrl-C stops them.")
        await services.watch()
    finally:
        typer.echo("Stopping the services")
        await services.down()


def _show(rows: list[PartStatus]) -> None:
    table = Table("part", "port", "process", "memory", "")
    for row in rows:
        memory = f"{row.memory_mib} MiB" if row.pid else ""
        state = "ready" if row.ready else "not ready" if row.pid else "stopped"
        table.add_row(row.name, str(row.port), str(row.pid or ""), memory, state)
    total = sum(row.memory_mib for row in rows)
    table.add_row("", "", "", f"{total} MiB", "")
    Console(highlight=False).print(table)


@contextmanager
def _told() -> Iterator[None]:
    """Ends the command with the sentence of what went wrong, or quietly when a person breaks it off."""
    try:
        yield
    except StackError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
