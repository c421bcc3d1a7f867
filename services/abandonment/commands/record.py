"""`trolleybus record`: the log of carts as a file that `trolleybus replay` reads."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.abandonment.commands.options import moment, private_file
from services.abandonment.rehearsal.recorder import Recorded, Recorder
from trolleybus.cli import CommandError, environment
from trolleybus.codec import Codec
from trolleybus.registry import Registry, RegistryError
from trolleybus.topics import Topics


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As carts.jsonl, or carts.jsonl.gz to compress it.")],
    *,
    store: Annotated[str, typer.Option(help="Only this store's carts.")] = "",
    from_: Annotated[str | None, typer.Option("--from", help="Records that arrived at this time or later.")] = None,
    to: Annotated[str | None, typer.Option(help="Records that arrived before this time.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the settings of stores and what shoppers did with their carts to FILE, for `trolleybus replay`.

    Reads up to the end of the log as it is at the start. E-mail addresses and phone numbers stand in the file in clear.
    """
    span = (moment(from_), moment(to))
    with private_file(file, force=force) as raw, ExitStack() as stack:
        sink = cast(BinaryIO, stack.enter_context(gzip.open(raw, "wb", 5))) if file.suffix == ".gz" else raw
        recorded = _run(sink, store, *span)
        if store and not recorded.stores:
            raise CommandError(f"there is no store {store!r}: `trolleybus store list` shows them")
    console = Console(highlight=False)
    console.print(
        f"{recorded.records:,} records and {recorded.stores:,} settings of stores are in {file}", markup=False
    )
    if recorded.unreadable:
        console.print(
            f"{recorded.unreadable:,} records could not be read and are left out; the detector parked them too"
        )
    console.print("E-mail addresses and phone numbers stand in it in clear: it is readable by you alone, keep it so")


def _run(sink: BinaryIO, store: str, from_ms: int | None, to_ms: int | None) -> Recorded:
    values = environment()
    try:
        bootstrap, registry_url = values["KAFKA_BOOTSTRAP_SERVERS"], values["SCHEMA_REGISTRY_URL"]
    except KeyError as missing:
        raise CommandError(
            f"{missing.args[0]} is not set: start the local stack (`trolleybus stack up`) or set it"
        ) from None
    try:
        return asyncio.run(
            _record(sink, bootstrap, registry_url, Topics.load(values.get("TOPIC_PREFIX", "")), store, from_ms, to_ms)
        )
    except KafkaError as error:
        raise CommandError(f"Kafka at {bootstrap} does not answer: {error}") from error
    except RegistryError as error:
        raise CommandError(str(error)) from error


async def _record(
    sink: BinaryIO,
    bootstrap: str,
    registry_url: str,
    topics: Topics,
    store: str,
    from_ms: int | None,
    to_ms: int | None,
) -> Recorded:
    recorded = Recorded()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Reading records", total=None)

        def progress(read: int, total: int) -> None:
            bar.update(task, completed=read, total=total)

        async with Registry(registry_url) as registry:
            recorder = Recorder(bootstrap, Codec(registry, topics), topics)
            async for line in recorder.lines(recorded, store_id=store, from_ms=from_ms, to_ms=to_ms, progress=progress):
                sink.write(line)
    return recorded
