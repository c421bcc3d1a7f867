"""`trolleybus demo [--once]`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.console import Console

from tools.demo.goal import Goal, Stopwatch
from tools.demo.shop import SHOP_URL, Figures, Shop
from tools.oracles.promises import TOPICS, Tally, tally
from tools.oracles.reader import Decoder, read_all
from tools.seed.catalogue import send_catalogue
from tools.simulator.catalogue import catalogue
from tools.simulator.mailbox import LocalInbox
from tools.simulator.player import Player
from tools.simulator.stories import stories
from tools.stack.errors import StackError
from tools.stack.ports import Ports
from tools.stack.progress import Terminal
from tools.stack.services import Services, apply_topics
from tools.stack.stack import Stack
from tools.stack.state import State
from trolleybus.cli import CommandError, dev_dir

SEED = 7
CURRENCY = "EUR"
SHOPPERS_PER_SECOND = 1.5
PATIENCE_S = 300
QUIET_S = 3.0


class Failed(Exception):
    """The demo did not show what it is there to show."""


def demo(
    once: Annotated[bool, typer.Option("--once", help="Play until enough happened, count the topics, stop.")] = False,
) -> None:
    """Start everything, open a store, and play a storefront."""
    console = Console(highlight=False)
    try:
        asyncio.run(_demo(once, console))
    except (StackError, Failed) as error:
        raise CommandError(str(error)) from error


async def _demo(once: bool, console: Console) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    watch = Stopwatch()
    work = asyncio.create_task(_run(once, console, watch))
    stop = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        console.print("\nStopping everything …")
        work.cancel()
    stop.cancel()
    with suppress(asyncio.CancelledError):
        counted = await work
        if counted is not None:
            watch.mark("stopped")
            _write(counted, watch)
            _judge(counted)
            console.print("Done: build/demo.json")


async def _run(once: bool, console: Console, watch: Stopwatch) -> Tally | None:
    directory = dev_dir()
    stack = Stack(directory, Ports.wanted(os.environ, fresh=State.read(directory) is None))
    async with _started(stack, console, watch) as services, httpx2.AsyncClient(timeout=15) as client:
        env = stack.env()
        shop = Shop(env, client)
        storefront = await shop.open("Trolleybus demo", CURRENCY)
        items = catalogue(SEED)
        await send_catalogue(env, shop.store_id, items, CURRENCY, SHOP_URL)
        watch.mark("store")
        await _show_links(shop, env, console)
        player = Player(
            storefront, client, LocalInbox(env["MESSAGING_URL"], env["OPERATOR_TOKEN"], shop.store_id, client)
        )
        playing = asyncio.create_task(
            player.play(stories(SEED, items, CURRENCY), per_second=SHOPPERS_PER_SECOND), name="storefront"
        )
        watching = asyncio.create_task(services.watch(), name="services")
        following = asyncio.create_task(_follow(shop, console, watch, Goal() if once else None), name="dashboard")
        try:
            done, _ = await asyncio.wait({playing, watching, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (playing, watching, following):
                task.cancel()
            await asyncio.gather(playing, watching, following, return_exceptions=True)
        refused = [one for one in player.done if one.failed]
        if refused:
            raise Failed(f"the gateway refused what {refused[0].shopper} did: {refused[0].failed}")
        return await _count(env, shop, watch)


@asynccontextmanager
async def _started(stack: Stack, console: Console, watch: Stopwatch) -> AsyncIterator[Services]:
    terminal = Terminal(console)
    try:
        await stack.up(terminal)
        watch.mark("stack")
        terminal.say("Creating topics and registering schemas")
        await asyncio.to_thread(apply_topics, stack.env())
        watch.mark("topics")
        services = Services(stack.env(), stack.directory)
        try:
            await services.up(terminal)
            watch.mark("services")
            yield services
        finally:
            await services.down()
    finally:
        await stack.down()


async def _show_links(shop: Shop, env: dict[str, str], console: Console) -> None:
    console.print("\n[bold]Trolleybus is running.[/bold] A storefront plays; Ctrl-C stops everything.\n")
    console.print(f"  Sign in (once)   {await shop.sign_in_link()}", soft_wrap=True)
    console.print(f"  Dashboard        {shop.dashboard}", soft_wrap=True)
    console.print(f"  Inbox            {env['MESSAGING_URL']}/inbox")
    console.print(f"  Campaigns        {env['CAMPAIGNS_URL']}/")
    console.print(f"  API docs         {env['INGEST_URL']}/docs")
    console.print(f"  Metrics          {env['INGEST_URL']}/metrics (each service has its own)")
    console.print(f"  Addresses and the operator's token stand in {dev_dir() / 'env'}\n")


async def _follow(shop: Shop, console: Console, watch: Stopwatch, goal: Goal | None) -> None:
    """Tells what the dashboard shows until the goal is reached; without a goal for ever."""
    told = None
    deadline = watch.started + PATIENCE_S
    while True:
        figures = await shop.figures()
        watch.see(figures)
        if figures != told:
            told = figures
            console.print(_line(figures, watch))
        if goal is not None and goal.reached(figures):
            watch.mark("goal")
            return
        if goal is not None and asyncio.get_running_loop().time() > deadline:
            raise Failed(f"after {PATIENCE_S} s the dashboard shows no more than: {_line(figures, watch).strip()}")
        await asyncio.sleep(1)


def _line(figures: Figures, watch: Stopwatch) -> str:
    seconds = int(asyncio.get_running_loop().time() - watch.started)
    return (
        f"  {seconds:4} s   {figures.carts} carts, {figures.abandoned} abandoned, "
        f"{figures.delivered} reminders delivered, {figures.recovered} recovered"
    )


async def _count(env: dict[str, str], shop: Shop, watch: Stopwatch) -> Tally:
    await asyncio.sleep(QUIET_S)  # What is under way in the line comes to rest before it is counted.

    def count() -> Tally:
        log = read_all(env["KAFKA_BOOTSTRAP_SERVERS"], Decoder(env["SCHEMA_REGISTRY_URL"]), *TOPICS)
        return tally(seen for seen in log if seen.values["store_id"] == shop.store_id)

    counted = await asyncio.to_thread(count)
    watch.mark("counted")
    return counted


def _write(counted: Tally, watch: Stopwatch) -> None:
    path = Path("build/demo.json")
    path.parent.mkdir(exist_ok=True)
    result = {
        "abandoned": counted.abandoned,
        "delivered": counted.delivered,
        "recovered": counted.recovered,
        "after_purchase": len(counted.after_purchase),
        "twice": len(counted.twice),
        "seconds": watch.phases,
    }
    path.write_text(json.dumps(result, indent=2) + "\n")


def _judge(counted: Tally) -> None:
    wrong = []
    if counted.after_purchase:
        wrong.append(f"{len(counted.after_purchase)} messages went after a purchase: {counted.after_purchase[:5]}")
    if counted.twice:
        wrong.append(f"{len(counted.twice)} messages went twice: {counted.twice[:5]}")
    if counted.unasked or counted.proven != counted.sent:
        wrong.append(
            f"{counted.sent} messages were sent, {counted.proven} with a whole barrier, {len(counted.unasked)} unasked"
        )
    goal = Goal()
    if not goal.reached(Figures(abandoned=counted.abandoned, delivered=counted.delivered, recovered=counted.recovered)):
        wrong.append(
            f"the topics hold {counted.abandoned} abandoned, {counted.delivered} delivered, {counted.recovered} recovered"
        )
    if wrong:
        raise Failed("; ".join(wrong))
