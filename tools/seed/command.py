"""`trolleybus seed`."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tools.seed.history import Store
from tools.seed.plan import DAYS, Size, plan
from tools.seed.sender import send_all, sender
from tools.stack.errors import StackError
from tools.stack.state import read_environment
from trolleybus.cli import CommandError, dev_dir
from trolleybus.contracts import ids
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.records import Record


def seed(
    store: Annotated[str, typer.Option(help="Id of a store that exists; a new one is made where absent.")] = "",
    number: Annotated[int, typer.Option("--seed", help="The same seed gives the same past.")] = 1,
    customers: Annotated[int, typer.Option(help="How many customers.")] = Size.customers,
    active: Annotated[int, typer.Option(help="Carts that are being filled.")] = Size.active,
    abandoned: Annotated[int, typer.Option(help="Carts that were left.")] = Size.abandoned,
) -> None:
    """Give a store a past: customers, products, carts and 30 days of campaigns, as imported records on the real topics.

    Nothing imported is ever written to.
    """
    size = Size(customers=customers, active=active, abandoned=abandoned)
    try:
        store_id, records = asyncio.run(_seed(read_environment(dev_dir()), store, number, size))
    except StackError as error:
        raise CommandError(str(error)) from error
    counts = Counter(type(record).__name__ for record in records)
    Console(highlight=False).print(
        f"Store {store_id} has a past now: " + ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
    )


async def _seed(env: dict[str, str], store_id: str, number: int, size: Size) -> tuple[str, list[Record]]:
    async with httpx2.AsyncClient(timeout=15, headers={"Authorization": f"Bearer {env['OPERATOR_TOKEN']}"}) as client:
        stores = f"{env['CAMPAIGNS_URL']}/api/v1/stores"
        if not store_id:
            past = datetime.now(UTC) - timedelta(days=DAYS + 1)
            body = {
                "name": "Seeded store",
                "currency": "EUR",
                "time_zone": "Europe/Madrid",
                "levels": ["15m", "1h", "24h"],
                "detection_from": past.isoformat(),
            }
            store_id = (await _answer(client.build_request("POST", stores, json=body), client))["store"]["store_id"]
        config = await _answer(client.build_request("GET", f"{stores}/{store_id}"), client)
    told = Store(
        store_id=store_id,
        version=config["version"],
        currency=config["currency"],
        first_level_s=config["levels"][0],
        campaign_id=ids.derived_id("imported-campaign", store_id),
    )
    hasher = IdentityHasher(installation_secrets(env["INSTALLATION_SECRET"]))
    now = time_ns() // 1_000_000
    records = plan(
        number, told, hasher, config.get("shop_url") or "https://shop.example", config["time_zone"], now, size
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with sender(env) as producer:
        with Progress(*columns) as progress:
            bar = progress.add_task("Importing", total=len(records))
            await send_all(producer, records, lambda count: progress.advance(bar, count))
    return store_id, records


async def _answer(request: httpx2.Request, client: httpx2.AsyncClient) -> dict[str, Any]:
    try:
        answer = await client.send(request)
    except httpx2.TransportError as error:
        raise CommandError(
            f"the campaign service does not answer at {request.url}: start it with `trolleybus up`"
        ) from error
    if answer.status_code >= 400:
        raise CommandError(f"{request.method} {request.url}: {answer.status_code} {answer.text[:500]}")
    result: dict[str, Any] = answer.json()
    return result
