"""`trolleybus rebuild identities`."""

import asyncio
from contextlib import aclosing

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.ingest.identity.rebuild import Outcome, Rebuild, RebuildError
from services.ingest.identity.replay import TOPICS
from services.ingest.metrics import IngestMetrics
from services.ingest.settings import IngestSettings
from services.ingest.valkey import Valkey
from trolleybus.cli import CommandError, load_settings
from trolleybus.codec import Codec
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.registry import Registry
from trolleybus.topics import Topics

_PATIENCE_S = 10.0
console = Console()


def identities() -> None:
    """Make the gateway's map of shoppers and carts anew from the log. The gateway goes on; broken off, the old one stays."""
    try:
        outcome = asyncio.run(_run(load_settings(IngestSettings)))
    except RebuildError as error:
        raise CommandError(str(error)) from error
    console.print(f"{outcome.sightings:,} of {outcome.read:,} records told of shoppers. The new map is in use.")
    if outcome.unreadable:
        console.print(f"{outcome.unreadable:,} records could not be read and were left out.")
    if outcome.lost:
        console.print(f"{outcome.lost:,} could not be learned, since the gateway wrote at the same time: run it again.")


async def _run(settings: IngestSettings) -> Outcome:
    topics = Topics.load(settings.topic_prefix)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    valkey = Valkey(settings.redis_url, _PATIENCE_S, IngestMetrics(CollectorRegistry()))
    async with Registry(settings.schema_registry_url) as registry, aclosing(valkey):
        work = Rebuild(
            valkey=valkey,
            bootstrap=settings.kafka_bootstrap_servers,
            codec=Codec(registry, topics),
            topics=[topics[name] for name in TOPICS],
            hasher=IdentityHasher(installation_secrets(settings.installation_secret.get_secret_value())),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("Reading records", total=None)
            return await work.run(lambda read, total: bar.update(task, completed=read, total=total))
