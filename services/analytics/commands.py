"""`trolleybus rebuild analytics`: the projection made anew from the log."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.analytics.app import GROUP
from services.analytics.domain.projection import TOPICS
from services.analytics.rebuild import Outcome, Rebuild, RebuildError
from services.analytics.settings import AnalyticsSettings
from trolleybus.cli import CommandError, load_settings
from trolleybus.codec import Codec
from trolleybus.registry import Registry
from trolleybus.topics import Topics

console = Console()


def analytics(
    check: Annotated[bool, typer.Option("--check", help="Compare only; exit 1 when the tables differ.")] = False,
) -> None:
    """Replay the topics beside the figures' tables, then swap. The service goes on; broken off, the old tables stay.

    What is older than the log is kept from the old tables.
    """
    settings = load_settings(AnalyticsSettings)
    try:
        outcome = asyncio.run(_run(settings, check=check))
    except RebuildError as error:
        raise CommandError(str(error)) from error
    _show(outcome)
    if check and any(outcome.differing.values()):
        raise CommandError("the tables in use differ from the log: `trolleybus rebuild analytics` makes them anew")
    console.print("The tables are equal." if check else "The new tables are in use.")


async def _run(settings: AnalyticsSettings, *, check: bool) -> Outcome:
    topics = Topics.load(settings.topic_prefix)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with Registry(settings.schema_registry_url) as registry:
        work = Rebuild(
            url=settings.database_url,
            bootstrap=settings.kafka_bootstrap_servers,
            codec=Codec(registry, topics),
            topics=[topics[name] for name in TOPICS],
            consumer=f"{settings.topic_prefix}{GROUP}",
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("Replaying records", total=None)

            def progress(read: int, total: int) -> None:
                bar.update(task, completed=read, total=total)

            return await (work.check(progress) if check else work.swap(progress))


def _show(outcome: Outcome) -> None:
    table = Table("table", "rows", "differed from the old")
    for name, rows in outcome.rows.items():
        table.add_row(name, f"{rows:,}", f"{outcome.differing[name]:,}")
    console.print(table)
    if outcome.kept:
        console.print(f"{outcome.kept:,} rows began before the log does and were joined with what the old tables hold.")
    if outcome.unreadable:
        console.print(f"{outcome.unreadable:,} records could not be read; the live projection set them aside too.")
