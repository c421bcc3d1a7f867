"""`trolleybus import`."""

import asyncio
import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from time import time_ns
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from services.ingest.adapters.seam import Arrival
from services.ingest.app import WRITTEN
from services.ingest.imports.formats import FORMATS
from services.ingest.imports.importer import Importer
from services.ingest.imports.journal import Journal, NotTheSame, Progress
from services.ingest.imports.lines import BadFile, Lines
from services.ingest.settings import IngestSettings
from trolleybus.cli import CommandError, load_settings
from trolleybus.codec import Codec
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.stores import StoreConfig
from trolleybus.envelope import Envelopes
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.registry import Registry, RegistryError
from trolleybus.store_directory import StoreDirectory
from trolleybus.topics import Topics

PATIENCE_S = 15.0
LINGER_MS = 20

FormatName = Enum("FormatName", {name: name for name in FORMATS}, type=str)  # type: ignore[misc]  # Typer reads its choices from it


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, the oldest first; gzip is read as well.")],
    *,
    format_: Annotated[
        FormatName,
        typer.Option(
            "--format", help="native: bodies of /api/v1/carts/track, /orders, /customers. segment: its calls."
        ),
    ],
    store: Annotated[str, typer.Option(metavar="ID", help="The store whose past it is.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring a store's past in: what happened, when it happened. Nobody is written to about it.

    How far it came stands in FILE.import.json, so the same command goes on after any end. Lines that cannot be used are
    listed in FILE.rejects.jsonl, each with its number and the reason.
    """
    try:
        with Lines(file) as lines:
            progress, journal = asyncio.run(
                _import(file, lines, str(format_.value), store, load_settings(IngestSettings))
            )
    except (BadFile, NotTheSame, RegistryError) as error:
        raise CommandError(str(error)) from None
    except KafkaUnavailable as error:
        raise CommandError(f"{error}\nWhat Kafka has is noted: the same command goes on from there.") from None
    if as_json:
        typer.echo(json.dumps(asdict(progress)))
        return
    console = Console(highlight=False)
    console.print(
        f"Imported {progress.lines - progress.rejects:,} lines of {file} as {progress.records:,} records", markup=False
    )
    if progress.rejects:
        console.print(f"{progress.rejects:,} lines could not be used; {journal.rejects} says why:", markup=False)
        with journal.rejects.open() as rejects:
            for _, text in zip(range(3), rejects, strict=False):
                reject = json.loads(text)
                why = "; ".join(f"{one['field']} {one['detail']}".strip() for one in reject["errors"])
                console.print(f"  line {reject['line']}: {why}", markup=False)


async def _import(
    file: Path, lines: Lines, format_: str, store_id: str, settings: IngestSettings
) -> tuple[Progress, Journal]:
    journal = Journal(file)
    progress = journal.begin(store_id, format_)
    if progress.is_ended:
        return progress, journal
    topics = Topics.load(settings.topic_prefix)
    bootstrap = settings.kafka_bootstrap_servers
    now = time_ns() // 1_000_000
    async with Registry(settings.schema_registry_url) as registry:
        codec = Codec(registry, topics)
        await codec.prepare(*WRITTEN)
        envelopes = Envelopes("import", topics, codec)
        arrival = Arrival(
            store=await _store(store_id, topics, bootstrap, codec),
            hasher=IdentityHasher(installation_secrets(settings.installation_secret.get_secret_value())),
            received_at=now,
            is_public=False,
        )
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        async with RecordProducer(bootstrap, envelopes, linger_ms=LINGER_MS) as producer:
            importer = Importer(FORMATS[format_], arrival, envelopes.wrap, producer.send_outgoing, journal)
            with Bar(*columns, console=Console(stderr=True)) as bar:
                task = bar.add_task("Importing", total=lines.size)
                progress = await importer.run(lines, progress, lambda _: bar.update(task, completed=lines.position()))
                bar.update(task, completed=lines.size)
            progress = await importer.end(progress, topics["cart.activity"].partitions, now)
    return progress, journal


async def _store(store_id: str, topics: Topics, bootstrap: str, codec: Codec) -> StoreConfig:
    """The store's settings, from their topic."""
    directory = StoreDirectory(topics["stores"], bootstrap, codec)
    reading = asyncio.create_task(directory.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await directory.wait_ready()
    except TimeoutError:
        raise CommandError(f"the stores could not be read from Kafka at {bootstrap} within {PATIENCE_S:g} s") from None
    finally:
        reading.cancel()
        await asyncio.wait({reading})
    found = directory.latest(store_id)
    if found is None:
        raise CommandError(f"there is no store {store_id}: `trolleybus store list` shows them")
    return found
