"""The whole line as a person runs it: servers, five services, stores over REST, shoppers, and what stands on the topics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tools.demo.shop import Shop
from tools.oracles import abandonment as oracle
from tools.oracles.promises import TOPICS, tally
from tools.oracles.reader import Decoder, Seen, read_all
from tools.simulator.catalogue import catalogue
from tools.simulator.mailbox import LocalInbox
from tools.simulator.player import Player, Storefront
from tools.simulator.stories import stories
from tools.simulator.truth import Done
from tools.stack.services import Services, apply_topics
from trolleybus.contracts import ids

JOURNEYS = "recovery.journeys.v1"


@dataclass(slots=True)
class Line:
    """The services on a stack, and an operator's view of them."""

    env: dict[str, str]
    services: Services
    client: httpx2.AsyncClient
    stack_directory: Path
    shops: dict[str, Shop] = field(default_factory=dict)

    async def open_shop(self, name: str, *, levels: list[int], **more: Any) -> tuple[Shop, Storefront]:
        """A store of its own for a test, known to the gateway."""
        shop = Shop(self.env, self.client)
        storefront = await shop.open(name, "EUR", levels=levels, **more)
        self.shops[shop.store_id] = shop
        return shop, storefront

    async def post(self, storefront: Storefront, path: str, body: Any) -> httpx2.Response:
        """One request with the store's secret key."""
        headers = {"Authorization": f"Bearer {storefront.secret_key}"}
        return await self.client.post(f"{storefront.ingest_url}/api/v1/{path}", json=body, headers=headers)

    async def play(
        self, shop: Shop, storefront: Storefront, *, seed: int, shoppers: int, per_second: float
    ) -> list[Done]:
        """Shoppers until all have ended."""
        mailbox = LocalInbox(self.env["MESSAGING_URL"], self.env["OPERATOR_TOKEN"], shop.store_id, self.client)
        player = Player(storefront, self.client, mailbox, patience=60)
        await player.play(stories(seed, catalogue(seed), "EUR"), per_second=per_second, count=shoppers)
        assert [(one.shopper, one.failed) for one in player.done if one.failed] == []
        return player.done

    async def topics(self, store_id: str, *more: str) -> list[Seen]:
        """All records of a store on the topics that the oracles read, and on some more."""
        decoder = Decoder(self.env["SCHEMA_REGISTRY_URL"])

        def read() -> list[Seen]:
            log = read_all(self.env["KAFKA_BOOTSTRAP_SERVERS"], decoder, *TOPICS, *more)
            return [seen for seen in log if seen.values["store_id"] == store_id]

        return await asyncio.to_thread(read)


@asynccontextmanager
async def running_line(env: dict[str, str], directory: Path, stack_directory: Path) -> AsyncIterator[Line]:
    """Topics as `trolleybus topics apply` makes them, and the five services as processes."""
    await asyncio.to_thread(apply_topics, env)
    services = Services(env, directory)
    await services.up()
    try:
        async with httpx2.AsyncClient(timeout=20) as client:
            yield Line(env, services, client, stack_directory)
    finally:
        await services.down()


async def eventually(
    condition: Callable[[], Awaitable[Any]], what: str, within_s: float = 60, every_s: float = 0.3
) -> Any:
    """Wait until the condition gives something true; fails with what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(every_s)


def expected_facts(log: Iterable[Seen], levels: list[int], until: int) -> set[tuple[Any, ...]]:
    """What the reference says of the carts on the topic, as comparable tuples."""
    activity = [seen for seen in log if seen.topic == "cart.activity.v1"]
    setting = {"levels": levels, "expiry": 2_592_000, "detection_from": 0}
    by_version = {seen.values["config_version"]: setting for seen in activity}
    in_order = sorted(activity, key=lambda seen: (seen.partition, seen.offset))
    facts = oracle.detect(
        [(seen.at, {**_plain(seen.values), "appended": seen.at}) for seen in in_order], by_version, until
    )
    return {_key(fact["kind"], ids.episode(fact["store"], fact["cart"], fact["episode"]), fact) for fact in facts}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    lines = [(line["line_id"], line["quantity"]) for line in values["lines"]]
    return {**values, "lines": lines}


def found_facts(log: Iterable[Seen]) -> set[tuple[Any, ...]]:
    """What the detector published, in the same tuples."""
    found = set()
    for seen in log:
        if seen.topic == "recovery.carts.v1":
            values = seen.values
            episode = values["previous_episode_id"] if seen.kind == "CartResumed" else values["episode_id"]
            fact = {
                "level": values.get("level_seconds"),
                "due_at": values.get("due_at"),
                "levels": values.get("levels_fired"),
            }
            found.add(_key(seen.kind, episode, fact))
    return found


def _key(kind: str, episode_id: str, fact: dict[str, Any]) -> tuple[Any, ...]:
    if kind == "CartAbandoned":
        return kind, episode_id, fact["level"], fact["due_at"]
    if kind == "CartRecovered":
        return kind, episode_id, tuple(fact["levels"])
    return kind, episode_id


async def settled(line: Line, store_id: str, levels: list[int]) -> list[Seen]:
    """The topics once the detector has told everything that silence made due for all carts that the store has."""
    last_level_ms = max(levels) * 1000

    async def done() -> list[Seen] | None:
        log = await line.topics(store_id, JOURNEYS)
        last = max((seen.at for seen in log if seen.topic == "cart.activity.v1"), default=0)
        now = time.time_ns() // 1_000_000
        if now < last + last_level_ms + 1_000:
            return None
        return log if expected_facts(log, levels, last + last_level_ms) <= found_facts(log) else None

    found: list[Seen] = await eventually(done, "the detector told what the reference knows", within_s=120, every_s=2)
    return found


async def quiet(line: Line, store_id: str) -> list[Seen]:
    """The topics once every message that was asked for has an outcome."""

    async def done() -> list[Seen] | None:
        log = await line.topics(store_id, JOURNEYS)
        asked = {seen.values["message_id"] for seen in log if seen.kind == "MessageRequested"}
        ended = {
            seen.values["message_id"]
            for seen in log
            if seen.kind
            in ("MessageDelivered", "MessageRefused", "MessageDeferred", "MessageInDoubt", "MessageWithdrawn")
        }
        return log if asked <= ended else None

    found: list[Seen] = await eventually(done, "every message asked for has an outcome", within_s=90, every_s=1)
    return found


def promised(log: list[Seen]) -> None:
    """P3 and P4 by the separate count."""
    counted = tally(log)
    assert counted.after_purchase == []
    assert counted.twice == []
    assert counted.unasked == []
    assert counted.proven == counted.sent
