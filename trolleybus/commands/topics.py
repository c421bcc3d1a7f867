"""`trolleybus topics`: what stands on Kafka and in the registry, as schemas/topics.yaml says."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trolleybus.asyncapi import document
from trolleybus.cli import CommandError, environment
from trolleybus.registry import Registry, RegistryError
from trolleybus.topic_admin import Report, TopicMismatch, create_topics, register_schemas
from trolleybus.topics import DAY_MS, Topics

app = typer.Typer(help="Topics and schemas.", no_args_is_help=True)


@app.command()
def apply(quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False) -> None:
    """Create missing topics, register schemas, bring retention in line. Refuses a changed partition count."""
    values = environment()

    def report(line: str) -> None:
        if not quiet:
            Console().print(line, highlight=False)

    try:
        asyncio.run(
            apply_all(
                values["KAFKA_BOOTSTRAP_SERVERS"], values["SCHEMA_REGISTRY_URL"], values.get("TOPIC_PREFIX", ""), report
            )
        )
    except KeyError as missing:
        raise CommandError(
            f"{missing.args[0]} is not set; start the local stack (`trolleybus stack up`) or set it"
        ) from None
    except (TopicMismatch, RegistryError) as error:
        raise CommandError(str(error)) from error


async def apply_all(bootstrap: str, registry_url: str, prefix: str, report: Report) -> None:
    """Topics first, then schemas."""
    topics = Topics.load(prefix)
    await create_topics(bootstrap, [*topics, *topics.dead_letters()], report)
    async with Registry(registry_url) as registry:
        await register_schemas(registry, topics, report)


@app.command("list")
def list_topics() -> None:
    """What each topic carries, how long it is kept, who writes and reads it."""
    table = Table("topic", "partitions", "kept", "records", "written by", "read by")
    for topic in Topics.load():
        kept = (
            "compacted"
            if topic.cleanup == "compact"
            else f"{topic.retention_ms // DAY_MS} d"
            if topic.retention_ms >= 0
            else "for ever"
        )
        table.add_row(
            topic.full_name, str(topic.partitions), kept, ", ".join(record.__name__ for record in topic.records),
            ", ".join(topic.written_by), ", ".join(topic.read_by),
        )  # fmt: skip
    Console().print(table)


@app.command()
def asyncapi() -> None:
    """Print the AsyncAPI document of all topics (schemas/asyncapi.yaml)."""
    typer.echo(document(Topics.load()), nl=False)
