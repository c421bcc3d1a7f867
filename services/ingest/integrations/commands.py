"""`trolleybus integration`: the REST API from a terminal, and the change of the key that encrypts secrets."""

import asyncio
import json
import sys
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from services.ingest.integrations import store
from services.ingest.integrations.domain.kinds import KINDS
from services.ingest.integrations.rewrapping import Left, rewrap_all
from services.ingest.integrations.sealing import KeyRing
from services.ingest.settings import IngestSettings
from trolleybus import operator_api
from trolleybus.cli import CommandError, load_settings
from trolleybus.db import connect as connect_database

integration = typer.Typer(no_args_is_help=True, help="Shops' own systems that send here, such as Shopify.")
console = Console(highlight=False)

_PATH = "/api/v1/integrations"

IntegrationId = Annotated[str, typer.Argument(metavar="INTEGRATION_ID")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@integration.command("connect")
def connect(
    kind: Annotated[str, typer.Argument(help=f"{' or '.join(KINDS)}")],
    *,
    store_id: Annotated[str, typer.Option("--store", help="The store's id.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Such as shop_domain=my-shop.myshopify.com")
    ] = None,
    as_json: Json = False,
) -> None:
    """Connect a shop's system. Its secrets are asked for, or read from stdin, a line each."""
    body = {"store_id": store_id, "kind": kind, "settings": _named(settings or []), "secrets": _secrets(kind)}
    _show(operator_api.call("ingest", "POST", _PATH, body), as_json)


@integration.command("list")
def list_integrations(
    *,
    store_id: Annotated[str, typer.Option("--store", help="Of one store.")] = "",
    kind: Annotated[str, typer.Option(help="Of one kind.")] = "",
    as_json: Json = False,
) -> None:
    """All integrations, newest first."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        query = {"store_id": store_id, "kind": kind, "limit": 200, "after": after}
        page = operator_api.call("ingest", "GET", _PATH, query=query)
        found += page["items"]
        after = page["next"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found:
        typer.echo("None. `trolleybus integration connect KIND --store ID` connects one.")
        return
    folded = (Column(name, overflow="fold") for name in ("store", "kind", "state", "settings", "last event"))
    table = Table(Column("id", no_wrap=True), *folded)
    for one in found:
        told = ", ".join(one["settings"].values())
        table.add_row(one["integration_id"], one["store_id"], one["kind"], one["state"], told, _minute(one))
    console.print(table)


def _minute(one: dict[str, Any]) -> str:
    """When the last event came, UTC: short, so that nothing is cut off where a terminal is narrow."""
    at: str | None = one["last_event_at"]
    return at[:16].replace("T", " ") if at else "never"


@integration.command()
def show(integration_id: IntegrationId, as_json: Json = False) -> None:
    """One integration; of its secrets the last four characters."""
    _show(operator_api.call("ingest", "GET", f"{_PATH}/{integration_id}"), as_json)


@integration.command("test")
def look(integration_id: IntegrationId, as_json: Json = False) -> None:
    """See whether it works; exit code 1 where something is wrong. Calls nobody."""
    found = operator_api.call("ingest", "POST", f"{_PATH}/{integration_id}/test")
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for check in found["checks"]:
            typer.echo(f"{'ok ' if check['ok'] else 'NOT'}  {check['name']}: {check['detail']}")
    if not found["ok"]:
        raise typer.Exit(1)


@integration.command()
def rotate(
    integration_id: IntegrationId,
    *,
    overlap: Annotated[int, typer.Option(help="Seconds for which the one before goes on working.")] = 86_400,
    as_json: Json = False,
) -> None:
    """Give it new secrets, asked for or read from stdin, a line each."""
    known = operator_api.call("ingest", "GET", f"{_PATH}/{integration_id}")
    body = {"secrets": _secrets(known["kind"]), "overlap_seconds": overlap}
    _show(operator_api.call("ingest", "POST", f"{_PATH}/{integration_id}/rotate", body), as_json)


@integration.command()
def disconnect(integration_id: IntegrationId) -> None:
    """Take nothing more from it, and delete its secrets."""
    operator_api.call("ingest", "POST", f"{_PATH}/{integration_id}/disconnect")
    typer.echo(f"{integration_id} is disconnected and its secrets are deleted")


@integration.command()
def rewrap() -> None:
    """Bring every secret under the first of INTEGRATION_KEYS. Broken off, run it again."""
    settings = load_settings(IngestSettings)
    keys = KeyRing.parse(settings.integration_keys.get_secret_value())
    done, left = asyncio.run(_rewrap(settings.database_url, keys))
    for one in left:
        typer.echo(f"not rewrapped: {one.place.name} of integration {one.place.integration_id}: {one.why}", err=True)
    if left:
        raise CommandError(f"{len(left)} could not be opened and stay as they were; keep their keys or rotate them")
    typer.echo(f"{done} rewrapped; every secret is under key {keys.first}")


async def _rewrap(url: str, keys: KeyRing) -> tuple[int, list[Left]]:
    try:
        conn = await connect_database(url, name="rewrap")
    except psycopg.OperationalError as error:
        raise CommandError(f"the gateway's database does not answer: {error}") from None
    try:
        total = await store.count_not_under(conn, keys.first)
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("Rewrapping", total=total)
            left = await rewrap_all(conn, keys, lambda more: progress.advance(bar, more))
    finally:
        await conn.close()
    return total - len(left), left


def _secrets(kind: str) -> dict[str, str]:
    """Never from an argument: those stand in the shell's history and in the list of processes."""
    names = KINDS[kind].secrets if kind in KINDS else ()
    if sys.stdin.isatty():
        return {name: typer.prompt(name.replace("_", " ").capitalize(), hide_input=True) for name in names}
    return {name: line for name in names if (line := sys.stdin.readline().strip())}


def _named(settings: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in settings:
        name, equals, value = one.partition("=")
        if not equals:
            raise CommandError(f"--set takes NAME=VALUE, not {one!r}")
        found[name.strip()] = value.strip()
    return found


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"Integration  {found['integration_id']} ({found['kind']}, {found['state']}) of store {found['store_id']}"
    )
    typer.echo(f"Sends to     {found['url']}")
    for name, value in found["settings"].items():
        typer.echo(f"{name:<12} {value}")
    for secret in found["secrets"]:
        until = f", until {secret['valid_until']}" if secret["valid_until"] else ""
        typer.echo(f"{secret['name']:<12} …{secret['last4']} since {secret['valid_from']}{until}")
    typer.echo(f"Last event   {found['last_event_at'] or 'never'}")
    if found["last_error"]:
        typer.echo(f"Last error   {found['last_error_at']}: {found['last_error']}")
