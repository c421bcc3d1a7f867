"""`trolleybus store` and `trolleybus sign-in`: the REST API from a terminal."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from services.campaigns.stores.domain.durations import text
from trolleybus import operator_api

store = typer.Typer(no_args_is_help=True, help="Stores, their settings and keys.")
key = typer.Typer(no_args_is_help=True, help="A store's keys: several of each kind, each with what it may do.")
store.add_typer(key, name="key")
console = Console(highlight=False)

StoreId = Annotated[str, typer.Argument(metavar="STORE_ID")]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `trolleybus store key list` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Levels = Annotated[str | None, typer.Option(help="Silences at which a cart counts as abandoned: 15m,1h,24h")]
Origins = Annotated[str | None, typer.Option(help="Browser origins that may use the write key, separated by commas.")]
Text = Annotated[str | None, typer.Option()]
RestoreUrl = Annotated[str | None, typer.Option(help="Link that restores a cart; {cart_id} is replaced.")]
Expiry = Annotated[str | None, typer.Option(help="A cart silent this long is forgotten: 30d")]
Basis = Annotated[str | None, typer.Option("--consent-basis", help="For e-mail: grant or soft_opt_in.")]
Quiet = Annotated[
    str | None, typer.Option("--quiet", help='Quiet hours of the recipient\'s day: 21:00-09:00 ("" none).')
]
Cap = Annotated[str | None, typer.Option(help='Marketing messages a person may get: 3/7d ("" no cap).')]
Unmarked = Annotated[str | None, typer.Option(help='Marks not to set on its events: bot,incomplete ("" none).')]
Rate = Annotated[int | None, typer.Option(help="Events a second of each kind; 0: as the installation.")]
Sender = Annotated[str | None, typer.Option(help="E-mail address that messages come from.")]


@store.command("create")
def create(
    name: str,
    *,
    currency: Annotated[str, typer.Option(help="ISO 4217, such as EUR.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, such as Europe/Madrid.")],
    levels: Levels = "15m,1h,24h",
    language: Text = None,
    country: Text = None,
    expiry: Expiry = None,
    origins: Origins = None,
    shop_url: Text = None,
    restore_url: RestoreUrl = None,
    postal_address: Text = None,
    sender: Sender = None,
    consent_basis: Basis = None,
    quiet: Quiet = None,
    cap: Cap = None,
    campaign: Annotated[bool, typer.Option(help="Make an active campaign of three e-mails.")] = True,
    as_json: Json = False,
) -> None:
    """Create a store and print its id and keys. The keys are shown this once."""
    body = _settings(
        currency=currency,
        time_zone=time_zone,
        levels=levels,
        language=language,
        country=country,
        expiry=expiry,
        origins=origins,
        shop_url=shop_url,
        restore_url=restore_url,
        postal_address=postal_address,
        sender=sender,
        consent_basis=consent_basis,
        quiet=quiet,
        cap=cap,
    )
    made = _call("POST", "/api/v1/stores", {"name": name, "campaign": campaign, **body})
    if as_json:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"Store       {made['store_id']}")
    typer.echo(f"Write key   {made['write_key']}  (for the storefront)")
    typer.echo(f"Secret key  {made['secret_key']}  (for servers; keep it secret)")
    typer.echo("The keys are shown this once: only their hashes are kept.")
    if made["campaign_id"]:
        typer.echo(
            f"Campaign    {made['campaign_id']} is active: three e-mails to each abandoned cart (--no-campaign: none)"
        )
    else:
        typer.echo("No campaign: carts are detected and measured, and nobody is written to.")


@store.command("list")
def list_stores(as_json: Json = False) -> None:
    """All stores."""
    found = _call("GET", "/api/v1/stores")
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(Column("id", no_wrap=True), "name", "currency", "time zone", "levels", "version", "active")
    for one in found["items"]:
        levels = ",".join(text(level) for level in one["levels"])
        table.add_row(
            one["store_id"], one["name"], one["currency"], one["time_zone"], levels, str(one["version"]),
            "yes" if one["active"] else "no",
        )  # fmt: skip
    console.print(table)


@store.command()
def show(store_id: StoreId, as_json: Json = False) -> None:
    """One store's settings and keys (their ids: the keys themselves are not kept)."""
    _print(_call("GET", f"/api/v1/stores/{store_id}"), as_json)


@store.command()
def update(
    store_id: StoreId,
    *,
    name: Text = None,
    currency: Text = None,
    time_zone: Text = None,
    levels: Levels = None,
    language: Text = None,
    country: Text = None,
    expiry: Expiry = None,
    origins: Origins = None,
    shop_url: Text = None,
    restore_url: RestoreUrl = None,
    postal_address: Text = None,
    sender: Sender = None,
    consent_basis: Basis = None,
    quiet: Quiet = None,
    cap: Cap = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive")] = None,
    unmarked: Unmarked = None,
    events_per_second: Rate = None,
    as_json: Json = False,
) -> None:
    """Change what is named; each change is a new version. New levels hold from a cart's next activity."""
    body = _settings(
        name=name,
        currency=currency,
        time_zone=time_zone,
        levels=levels,
        language=language,
        country=country,
        expiry=expiry,
        origins=origins,
        shop_url=shop_url,
        restore_url=restore_url,
        postal_address=postal_address,
        sender=sender,
        consent_basis=consent_basis,
        quiet=quiet,
        cap=cap,
        active=active,
        unmarked=unmarked,
        events_per_second=events_per_second,
    )
    _print(_call("PATCH", f"/api/v1/stores/{store_id}", body), as_json)


@key.command("add")
def add_key(
    store_id: StoreId,
    kind: Annotated[str, typer.Option(help="write (for pages) or secret (for servers)")],
    scopes: Annotated[str, typer.Option(help="What it may do: carts,orders; else all that its kind may.")] = "",
    as_json: Json = False,
) -> None:
    """Make a key beside the others. It is shown this once."""
    wanted = [part.strip() for part in scopes.split(",") if part.strip()]
    _print_key(_call("POST", f"/api/v1/stores/{store_id}/keys", {"kind": kind, "scopes": wanted}), as_json)


@key.command("rotate")
def rotate_key(
    store_id: StoreId,
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old key goes on working.")] = "24h",
    as_json: Json = False,
) -> None:
    """Make a key that takes another's place. It is shown this once; the old one ends after the grace."""
    _print_key(_call("POST", f"/api/v1/stores/{store_id}/keys/{key_id}/rotate", {"grace": grace}), as_json)


@key.command("revoke")
def revoke_key(store_id: StoreId, key_id: KeyId) -> None:
    """End one key at once."""
    _call("DELETE", f"/api/v1/stores/{store_id}/keys/{key_id}")
    typer.echo(f"{key_id} is revoked")


@key.command("list")
def list_keys(store_id: StoreId, as_json: Json = False) -> None:
    """A store's keys, what each may do, and when it was last used."""
    keys = _call("GET", f"/api/v1/stores/{store_id}")["keys"]
    uses = operator_api.call("ingest", "GET", "/api/v1/key-uses", query={"store_id": store_id})["items"]
    used = {one["key_id"]: one["last_used_at"] for one in uses}
    found = [{**one, "last_used_at": used.get(one["key_id"])} for one in keys]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(
        Column("id", no_wrap=True),
        "kind",
        "scopes",
        *(Column(name, overflow="fold") for name in ("made", "ends", "last used")),
    )
    for one in found:
        table.add_row(
            one["key_id"], one["kind"], ",".join(one["scopes"]) or "all", one["created_at"], one["expires_at"] or "no",
            one["last_used_at"] or "not known",
        )  # fmt: skip
    console.print(table)


def _print_key(made: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(made) if as_json else f"{made['kind']} key {made['key_id']}: {made['key']}")


def sign_in(
    next_page: Annotated[str, typer.Option("--next", help="A page of one of the services; else the dashboard.")] = "",
    as_json: Json = False,
) -> None:
    """Print a link that signs a browser in, once."""
    made = _call("POST", "/api/v1/sign-in-links", {"next": next_page})
    typer.echo(json.dumps(made) if as_json else made["url"])


def _settings(**given: Any) -> dict[str, Any]:
    """The API's names for what the command line gave."""
    body = {name: value for name, value in given.items() if value is not None}
    for name in ("levels", "origins", "unmarked"):
        if name in body:
            body[name] = [part.strip() for part in body[name].split(",") if part.strip()]
    for ours, theirs in (("consent_basis", "email_consent_basis"), ("quiet", "quiet_hours")):
        if ours in body:
            body[theirs] = body.pop(ours)
    if "sender" in body:
        body["senders"] = [{"channel": "email", "address": body.pop("sender")}]
    return body


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    return operator_api.call("campaigns", method, path, body)


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    else:
        console.print_json(json.dumps(found))
