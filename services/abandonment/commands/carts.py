"""`trolleybus carts`: what the running detector knows of a cart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urljoin

import httpx2
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from trolleybus.cli import CommandError, environment
from trolleybus.contracts.durations import text
from trolleybus.contracts.money import Money

WORKERS_ASKED = 4
"""A partition may move while it is asked for."""

carts = typer.Typer(help="Carts as the running detector knows them.", no_args_is_help=True)


@carts.callback()
def _carts() -> None:
    """Carts as the running detector knows them."""


@carts.command()
def show(
    store_id: Annotated[str, typer.Argument(metavar="STORE")],
    cart_id: Annotated[str, typer.Argument(metavar="CART")],
    *,
    url: Annotated[str, typer.Option(help="Any of the detector's workers; else ABANDONMENT_URL.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """One cart: its state, what was told of it, and what silence will make due when."""
    values = environment()
    if "OPERATOR_TOKEN" not in values:
        raise CommandError("OPERATOR_TOKEN is not set: start the local stack (`trolleybus stack up`) or set it")
    base = (url or values.get("ABANDONMENT_URL") or "http://127.0.0.1:8102").rstrip("/")
    path = f"/api/v1/carts/{quote(store_id, safe='')}/{quote(cart_id, safe='')}"
    found = _ask(base + path, values["OPERATOR_TOKEN"])
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print(found, Console(highlight=False))


def _ask(url: str, token: str) -> dict[str, Any]:
    """The cart, from the worker that has it. Redirects are followed here: the token goes along from worker to worker."""
    for _ in range(WORKERS_ASKED):
        answer = _get(url, token)
        if answer.status_code != 307:
            break
        url = urljoin(url, answer.headers["location"])
    else:
        raise CommandError("the cart's partition is moving between workers: try again in some seconds")
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    raise CommandError(_told(answer))


def _get(url: str, token: str) -> httpx2.Response:
    try:
        return httpx2.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise CommandError(
            f"the detector at {url.partition('/api/')[0]} does not answer ({error}): is it running (`trolleybus up`)?"
        ) from None


def _told(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        title, detail = problem["title"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the detector answered {answer.status_code}"
    again = ": try again in some seconds" if answer.status_code == 503 else ""
    return f"{title}: {detail}{again}" if detail else f"{title}{again}"


def _print(found: dict[str, Any], console: Console) -> None:
    clock = found["clock"]
    held = ", waits for the end of its import" if found["waits_for_import_end"] else ""
    facts = [
        ("status", found["status"] + held),
        ("episode", found["episode_id"] or "none yet"),
        ("opened", _moment(found["opened_at"])),
        ("first activity of the episode", _moment(found["first_activity_at"])),
        ("last activity", _moment(found["last_activity_at"])),
        ("closed", _moment(found["closed_at"])),
        ("levels", f"{', '.join(map(text, found['levels']))} (setting {found['config_version']})"),
        ("value", _money(found["value"]) if found["lines"] else ""),
        ("step", found["step"]),
        ("contact", ", ".join(found["contact_channels"]) or "not known"),
        ("clock of its partition", _moment(clock)),
        ("last record", "{partition}:{offset}".format(**found["last_record"])),
    ]
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value:
            grid.add_row(name, escape(value))
    console.print(f"cart {found['cart_id']} of store {found['store_id']}", markup=False)
    console.print(grid)
    if found["lines"]:
        lines = Table("line", "name", Column("quantity", justify="right"), Column("unit price", justify="right"))
        for line in found["lines"]:
            quantity, price = str(line["quantity"]), _money(line["unit_price"])
            lines.add_row(*map(escape, (line["line_id"], line["name"], quantity, price)))
        console.print(lines)
    console.print(_timers(found, clock))


def _timers(found: dict[str, Any], clock: int) -> Table:
    table = Table("what", "when", "")
    for level in found["fired_before"]:
        table.add_row(f"level {text(level['level_seconds'])}", _moment(level["due_at"]), "told, of an earlier episode")
    for level in found["fired"]:
        table.add_row(f"level {text(level['level_seconds'])}", _moment(level["due_at"]), "told")
    for timer in found["timers"]:
        what = f"level {text(timer['level_seconds'])}" if timer["what"] == "level" else timer["what"]
        table.add_row(what, _moment(timer["at"]), _away(timer["at"] - clock))
    return table


def _moment(at: int) -> str:
    """In this terminal's time zone, and in UTC."""
    if not at:
        return ""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} ({moment:%Y-%m-%d %H:%M:%S}Z)"


def _away(ms: int) -> str:
    """The two largest units of what is left by the partition's clock."""
    if ms <= 0:
        return "now"
    rest, parts = -(-ms // 1000), []
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count} {name}")
    return f"in {' '.join(parts[:2])}"


def _money(amount: dict[str, Any]) -> str:
    return str(Money(minor=amount["minor"], currency=amount["currency"])) if amount["currency"] else ""
