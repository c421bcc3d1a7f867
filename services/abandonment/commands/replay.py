"""`trolleybus replay`: the engine over a recorded log."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from services.abandonment.commands.options import levels_of, moment, private_file
from services.abandonment.rehearsal.carts import Settings
from services.abandonment.rehearsal.recording import RecordingError, open_lines
from services.abandonment.rehearsal.replay import Outcome, Replay, read_settings
from trolleybus.cli import CommandError
from trolleybus.contracts.durations import text
from trolleybus.contracts.money import Money


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `trolleybus record` writes it.")],
    *,
    levels: Annotated[
        str | None, typer.Option(help="Try these instead of the stores' own: 900,3600 or 15m,1h.")
    ] = None,
    stores: Annotated[
        Path | None, typer.Option(help="Settings of stores that FILE does not hold: a file of the same form.")
    ] = None,
    store: Annotated[str, typer.Option(help="Only this store's carts.")] = "",
    until: Annotated[
        str | None,
        typer.Option(
            help="Leave out what arrived later, and tell of silence up to then: a time or now. Else FILE's end."
        ),
    ] = None,
    detect_all: Annotated[
        bool, typer.Option("--detect-all", help="Also levels that were due before a store switched detection on.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write each fact to this file, one JSON object a line.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Write the lines that could not be used, with the reason.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what detection finds in a recorded log: the same facts, under the same ids, as the running service.

    Needs no server and changes nothing.
    """
    settings = Settings(levels_of(levels), detect_all=detect_all)
    last = moment(until)
    try:
        if stores is not None:
            read_settings(stores, settings)
        with ExitStack() as stack:
            facts = stack.enter_context(private_file(out, force=force)) if out else None
            bad = stack.enter_context(private_file(rejects, force=force)) if rejects else None
            lines = stack.enter_context(open_lines(file))
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            bar = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
            task = bar.add_task("Replaying", total=lines.size)
            outcome = Replay(lines, settings, store, last, facts, bad).run(
                lambda done: bar.update(task, completed=done)
            )
    except RecordingError as error:
        raise CommandError(str(error)) from None
    if as_json:
        typer.echo(json.dumps(_as_json(outcome)))
    else:
        _show(outcome, rejects)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "until": outcome.until,
        "records": dict(outcome.records),
        "rejects": dict(outcome.rejects),
        "open_imports": outcome.open_imports,
        "facts": [asdict(row) for row in outcome.summary.rows()],
    }


def _show(outcome: Outcome, rejects: Path | None) -> None:
    console = Console(highlight=False)
    rows = list(outcome.summary.rows())
    with_store = len({row.store_id for row in rows}) > 1
    table = Table("fact", "level", Column("count", justify="right"), Column("value", justify="right"))
    if with_store:
        table = Table("store", *table.columns)
    for row in rows:
        amounts = ", ".join(str(Money(minor=minor, currency=currency)) for currency, minor in sorted(row.value.items()))
        cells = [row.fact, text(row.level_seconds) if row.level_seconds else "", f"{row.count:,}", amounts]
        table.add_row(*map(escape, [row.store_id, *cells] if with_store else cells))
    console.print(table)
    read = ", ".join(f"{count:,} {note}" for note, count in outcome.records.most_common()) or "none"
    console.print(f"records: {read}; told up to {_local(outcome.until)}")
    if outcome.open_imports:
        console.print(f"{outcome.open_imports:,} imported carts wait for the end of their import (import_ended)")
    if outcome.rejects:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in outcome.rejects.most_common())
        console.print(f"{outcome.rejects.total():,} lines could not be used: {reasons}")
        for reject in outcome.first_rejects:
            console.print(f"  {reject}", markup=False)
        console.print(f"all of them are in {rejects}" if rejects else "--rejects FILE lists them all", markup=False)


def _local(at: int) -> str:
    return datetime.fromtimestamp(at / 1000).astimezone().isoformat(sep=" ", timespec="seconds") if at else "nothing"
