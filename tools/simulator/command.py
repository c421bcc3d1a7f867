"""`trolleybus simulate`: a storefront's traffic against a running gateway."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.console import Console
from rich.progress import Progress

from tools.simulator.catalogue import catalogue
from tools.simulator.mailbox import LocalInbox, Mailbox, NoMail
from tools.simulator.player import Player, Storefront
from tools.simulator.stories import Story, stories
from tools.simulator.truth import Done, save
from tools.stack.state import read_environment
from trolleybus.cli import CommandError, dev_dir


def simulate(
    store: Annotated[str, typer.Option(envvar="STORE_ID", help="The store's id.")],
    write_key: Annotated[str, typer.Option(envvar="STORE_WRITE_KEY", help="The store's write key.")],
    secret_key: Annotated[str, typer.Option(envvar="STORE_SECRET_KEY", help="The store's secret key.")],
    shoppers: Annotated[int, typer.Option(help="How many shoppers come.")] = 100,
    per_second: Annotated[float, typer.Option(help="How many begin a second.")] = 2.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shoppers.")] = 1,
    currency: Annotated[str, typer.Option(help="The shop's currency (ISO 4217).")] = "EUR",
    read_mail: Annotated[bool, typer.Option(help="Shoppers read the local inbox and come back.")] = True,
    truth: Annotated[
        Path | None, typer.Option(help="Write what was done to this file, one JSON line a shopper.")
    ] = None,
) -> None:
    """Shoppers browse, fill carts, leave, come back and buy, with duplicates, late and out-of-order events."""
    env = read_environment(dev_dir())
    if "INGEST_URL" not in env:
        raise CommandError(
            f"no stack runs here ({dev_dir()}/env names no INGEST_URL): run `trolleybus stack up` and `trolleybus up`"
        )
    storefront = Storefront(ingest_url=env["INGEST_URL"], write_key=write_key, secret_key=secret_key)
    client = httpx2.AsyncClient(timeout=15)
    mailbox: Mailbox = LocalInbox(env["MESSAGING_URL"], env["OPERATOR_TOKEN"], store, client) if read_mail else NoMail()
    done = asyncio.run(
        _simulate(Player(storefront, client, mailbox), stories(seed, catalogue(seed), currency), per_second, shoppers)
    )
    failed = [one for one in done if one.failed]
    Console().print(f"{len(done)} shoppers, {sum(one.ordered() for one in done)} orders, {len(failed)} failed")
    if truth:
        save(done, truth)
    if failed:
        raise CommandError(f"the gateway refused {failed[0].shopper}: {failed[0].failed}")


async def _simulate(player: Player, told: Iterator[Story], per_second: float, shoppers: int) -> list[Done]:
    async with player.client:
        with Progress() as progress:
            bar = progress.add_task("requests acknowledged", total=None)
            player.on_deed = lambda _: progress.advance(bar)
            await player.play(told, per_second=per_second, count=shoppers)
    return player.done
