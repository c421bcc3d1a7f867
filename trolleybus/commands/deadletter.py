"""`trolleybus dlt`: what the services could not handle."""

import asyncio
import base64
import json
from collections import Counter, defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trolleybus.cli import CommandError, environment
from trolleybus.codec import Codec, UnreadableRecord, to_dict
from trolleybus.deadletter import Parked, shelf
from trolleybus.envelope import Envelopes
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.redaction import redact, redact_text
from trolleybus.registry import Registry, RegistryError
from trolleybus.topics import Topic, Topics, UnknownTopic

# Fields of our records that hold personal data beyond those that logs know of.
_PERSONAL = frozenset({"first_name", "last_name", "properties", "subject", "html", "text", "cart_url", "region"})

T = TypeVar("T")

app = typer.Typer(help="Dead letters: records that a service could not handle.", no_args_is_help=True)


@app.command("list")
def list_parked(
    service: Annotated[str, typer.Option(help="Only what this service parked.")] = "",
    topic: Annotated[str, typer.Option(help="Only what was read of this topic, as orders.")] = "",
) -> None:
    """How much is parked where, since when and why. Records that were replayed are counted apart."""
    topics = _topics()
    wanted = []
    for letter in topics.dead_letters():
        by, _, of = letter.name.removesuffix(".dlt").partition(".")
        if service in {"", by} and topic in {"", of}:
            wanted.append(letter)
    parked = _run(shelf.read(_setting("KAFKA_BOOTSTRAP_SERVERS"), wanted))
    by_topic: dict[str, list[Parked]] = defaultdict(list)
    for one in parked:
        by_topic[one.topic].append(one)
    if not by_topic:
        Console().print("Nothing is parked.")
        return
    table = Table("topic", "parked", "replayed", "oldest", "newest", "reasons")
    for name, entries in sorted(by_topic.items()):
        waiting = [entry for entry in entries if not entry.replayed_at]
        times = [entry.parking.parked_at for entry in waiting or entries]
        reasons = Counter(entry.parking.reason for entry in waiting or entries)
        table.add_row(
            name, str(len(waiting)), str(len(entries) - len(waiting)), _moment(min(times)), _moment(max(times)),
            ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()),
        )  # fmt: skip
    Console().print(table)


@app.command()
def show(
    where: Annotated[str, typer.Argument(metavar="TOPIC[:PARTITION:OFFSET]", help="As campaigns.orders.dlt:0:17.")],
    limit: Annotated[int, typer.Option(min=1, help="The newest so many, where no offset is named.")] = 20,
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Personal data in clear.")] = False,
) -> None:
    """Print parked records with their reasons, as JSON. Personal data is left out unless --clear is given."""
    name, _, place = where.partition(":")
    topics = _topics()

    async def shown() -> list[dict[str, Any]]:
        parked = await shelf.read(_setting("KAFKA_BOOTSTRAP_SERVERS"), [_dead_letter(topics, name)])
        if place:
            parked = [one for one in parked if one.place == place]
            if not parked:
                raise CommandError(f"Nothing is parked at {where}.")
        async with Registry(_setting("SCHEMA_REGISTRY_URL")) as registry:
            codec = Codec(registry, topics)
            return [await _described(one, codec, clear=clear) for one in parked[-limit:]]

    typer.echo(json.dumps(_run(shown()), indent=2, ensure_ascii=False))


@app.command()
def replay(
    topic: Annotated[str, typer.Argument(help="The dead letter topic, as campaigns.products.dlt.")],
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only the record with this ce_id (repeatable).")] = None,
    offsets: Annotated[
        list[str] | None, typer.Option("--offset", metavar="PARTITION:OFFSET", help="Only this one (repeatable).")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that was not replayed yet.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was replayed before.")] = False,
) -> None:
    """Write parked records back to the topic that they stood on, with the same key, bytes and ce_id.

    The service that parked a record reads it again; every other reader of that topic sees it a second time and drops it
    by its ce_id, as after any crash. It counts as arriving now. Not replayed is what still cannot be read, and, on a
    compacted topic, what a newer record of the same key has superseded. What was replayed is remembered on the dead
    letter topic: a second time needs --again.
    """
    if everything == bool(ids or offsets):
        raise CommandError("Say what to replay: either --id and --offset, or --all.")
    topics = _topics()
    bootstrap = _setting("KAFKA_BOOTSTRAP_SERVERS")

    async def replayed() -> tuple[int, int, list[shelf.Skipped]]:
        parked = await shelf.read(bootstrap, [_dead_letter(topics, topic)])
        chosen = [one for one in parked if everything or one.id in (ids or ()) or one.place in (offsets or ())]
        _require_found(chosen, ids or (), offsets or ())
        before = [one for one in chosen if one.replayed_at and not again]
        due = [one for one in chosen if one not in before]
        async with AsyncExitStack() as stack:
            registry = await stack.enter_async_context(Registry(_setting("SCHEMA_REGISTRY_URL")))
            codec = Codec(registry, topics)
            envelopes = Envelopes("operator", topics, codec)
            producer = await stack.enter_async_context(RecordProducer(bootstrap, envelopes))
            progress = stack.enter_context(Progress(console=Console()))
            task = progress.add_task("Replaying", total=len(due))
            skipped = await shelf.replay(bootstrap, topics, codec, producer, due, lambda: progress.advance(task))
        return len(due) - len(skipped), len(before), skipped

    sent, before, skipped = _run(replayed())
    Console().print(f"Replayed {sent}.", highlight=False)
    if before:
        Console().print(f"{before} had been replayed before: --again replays them too.", highlight=False)
    for one in skipped:
        Console().print(f"Skipped {one.parked.place} ({one.parked.id}): {one.why}", highlight=False, markup=False)


def _require_found(chosen: Sequence[Parked], ids: Sequence[str], offsets: Sequence[str]) -> None:
    missing = {*ids} - {one.id for one in chosen} | {*offsets} - {one.place for one in chosen}
    if missing:
        raise CommandError(f"Not parked here: {', '.join(sorted(missing))}. Nothing was replayed.")


async def _described(parked: Parked, codec: Codec, *, clear: bool) -> dict[str, Any]:
    try:
        record = await codec.decode(parked.value)
        content: Any = {"type": type(record).__name__, **to_dict(record)}
        if not clear:
            content = _without_personal_data(redact(content))
    except UnreadableRecord:
        raw = parked.value or b""
        content = (
            base64.b64encode(raw).decode() if clear else f"{len(raw)} bytes that cannot be read; --clear shows them"
        )
    parking = parked.parking
    return {
        "topic": parked.topic,
        "partition": parked.partition,
        "offset": parked.offset,
        "id": parked.id,
        "key": parked.key.decode(errors="replace"),
        "reason": parking.reason,
        "detail": parking.detail if clear else redact_text(parking.detail),
        "from": f"{parking.topic}:{parking.partition}:{parking.offset}",
        "parked_at": _moment(parking.parked_at),
        "replayed_at": _moment(parked.replayed_at) if parked.replayed_at else None,
        "record": content,
    }


def _without_personal_data(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {
            name: "[redacted]" if value and name in _PERSONAL else _without_personal_data(value)
            for name, value in content.items()
        }
    if isinstance(content, list):
        return [_without_personal_data(item) for item in content]
    return content


def _topics() -> Topics:
    return Topics.load(environment().get("TOPIC_PREFIX", ""))


def _dead_letter(topics: Topics, name: str) -> Topic:
    for letter in topics.dead_letters():
        if name in {letter.name, letter.full_name}:
            return letter
    raise CommandError(f"There is no dead letter topic {name!r}: `trolleybus dlt list` shows what is parked.")


def _setting(name: str) -> str:
    try:
        return environment()[name]
    except KeyError:
        raise CommandError(f"{name} is not set; start the local stack (`trolleybus stack up`) or set it") from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (KafkaError, KafkaUnavailable) as error:
        raise CommandError(f"Kafka at {_setting('KAFKA_BOOTSTRAP_SERVERS')} does not answer: {error}") from error
    except (RegistryError, UnknownTopic) as error:
        raise CommandError(str(error)) from error


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
