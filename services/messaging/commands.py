"""`trolleybus hold`: stores that are not written to because a record could not be read."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from services.messaging.settings import MessagingSettings
from services.messaging.store import holds
from trolleybus.cli import CommandError, load_settings
from trolleybus.db import Connection, connect
from trolleybus.envelope import rfc3339

hold = typer.Typer(help="Stores held because an order, a word or a link could not be read.", no_args_is_help=True)
console = Console()
T = TypeVar("T")


@hold.command("list")
def list_holds(*, released: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False) -> None:
    """What is held, and why."""
    table = Table("id", "store", "record", "why", "since", "released")
    for one in _with_database(lambda conn: holds.list_holds(conn, released=released)):
        place = f"{one.topic}/{one.partition} offset {one.record_offset}"
        done = f"{rfc3339(one.released_at)} {one.released_by}: {one.release_reason}" if one.released_at else ""
        store = "every store" if one.store_id == holds.ALL else one.store_id
        table.add_row(str(one.id), store, place, one.reason, rfc3339(one.held_at), done)
    console.print(table)


@hold.command()
def release(
    hold_id: Annotated[int, typer.Argument(help="As `trolleybus hold list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why the store may be written to again; kept.")],
    by: Annotated[str, typer.Option(help="Who you are; kept.")] = "",
) -> None:
    """Let messages go again. Look at the record first: `trolleybus dlt list`."""
    if not reason.strip():
        raise CommandError('say why: --reason "…"')
    actor = by or f"{getpass.getuser()} (command line)"
    if not _with_database(lambda conn: holds.release(conn, hold_id, actor, reason)):
        raise CommandError(f"no hold {hold_id} is in force; `trolleybus hold list` shows them")
    console.print(f"released hold {hold_id}")


def _with_database(work: Callable[[Connection], Awaitable[T]]) -> T:
    settings = load_settings(MessagingSettings)

    async def run() -> T:
        conn = await connect(settings.database_url, name="hold")
        try:
            return await work(conn)
        finally:
            await conn.close()

    return asyncio.run(run())
