"""Plays stories against a gateway in real time and writes down what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from tools.simulator.mailbox import Mailbox
from tools.simulator.stories import Action, Story
from tools.simulator.truth import Deed, Done

TRIES = 20
MAIL_POLL_S = 1.0


class Refused(Exception):
    """The gateway refused what a shopper did; trying again would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storefront:
    """Where and as whom the shop sends. The secret key stays on the shop's server: orders and customers use it."""

    ingest_url: str
    write_key: str
    secret_key: str


@dataclass(slots=True)
class Player:
    """Plays shoppers side by side. `stretch` multiplies every pause; patience is how long a shopper waits for mail (s)."""

    storefront: Storefront
    client: httpx2.AsyncClient
    mailbox: Mailbox
    stretch: float = 1.0
    patience: float = 120.0
    done: list[Done] = field(default_factory=list)
    on_deed: Callable[[Deed], None] = lambda _: None

    async def play(self, stories: Iterator[Story], *, per_second: float, count: int | None = None) -> None:
        """New shoppers at a steady rate until count of them came (None: until cancelled), then waits for all to end."""
        async with asyncio.TaskGroup() as shoppers:
            started = time.monotonic()
            for number, story in enumerate(itertools.islice(stories, count)):
                await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
                shoppers.create_task(self.live(story))

    async def live(self, story: Story) -> None:
        """One shopper, from first to last."""
        done = Done(habit=story.habit, shopper=story.shopper, cart_id=story.cart_id, email=story.email)
        self.done.append(done)
        try:
            async with asyncio.TaskGroup() as tasks:
                for action in story.actions:
                    await asyncio.sleep(action.after * self.stretch)
                    if action.wait_for_mail and not await self._come_back(story):
                        break
                    done.reminded |= action.wait_for_mail
                    happened = now_ms()
                    if action.late:
                        tasks.create_task(self._later(story, action, happened, done))
                    else:
                        await self._send(story, action, happened, done)
            done.finished = True
        except* Refused as refused:
            done.failed = str(refused.exceptions[0])

    async def _come_back(self, story: Story) -> bool:
        deadline = time.monotonic() + self.patience * self.stretch
        while time.monotonic() < deadline:
            link = await self.mailbox.restore_link(story.email)
            if link and await self._follow(link, story.user_agent):
                return True
            await asyncio.sleep(MAIL_POLL_S)
        return False

    async def _follow(self, link: str, user_agent: str) -> bool:
        try:
            answer = await self.client.get(link, follow_redirects=False, headers={"User-Agent": user_agent})
        except httpx2.TransportError:
            return False
        return answer.is_redirect

    async def _later(self, story: Story, action: Action, happened: int, done: Done) -> None:
        await asyncio.sleep(action.late * self.stretch)
        await self._send(story, action, happened, done)

    async def _send(self, story: Story, action: Action, happened: int, done: Done) -> None:
        is_track = action.path.endswith("/track")
        key = self.storefront.write_key if is_track else self.storefront.secret_key
        sent = now_ms()
        body = {**action.body, "occurred_at": rfc3339(happened)}
        if is_track:
            body["user_agent"] = story.user_agent  # As a shop's server tells it.
        headers = {"Authorization": f"Bearer {key}"}
        for _ in range(action.times):
            await self._post(self.storefront.ingest_url + action.path, body, headers)
        deed = Deed(
            what=_what(action),
            event_id=body["event_id"],
            happened_at=happened,
            sent_at=sent,
            acked_at=now_ms(),
            times=action.times,
            body=body,
        )
        done.deeds.append(deed)
        self.on_deed(deed)

    async def _post(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        """Until it is acknowledged: 429, 503 and broken connections are tried again under the same event id."""
        problem = ""
        for attempt in range(TRIES):
            try:
                answer = await self.client.post(url, json={**body, "sent_at": rfc3339(now_ms())}, headers=headers)
            except httpx2.TransportError as error:
                problem = repr(error)
            else:
                if answer.status_code == 202:
                    return
                problem = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code not in (429, 503):
                    break
            await asyncio.sleep(min(5.0, 0.2 * 2**attempt))
        raise Refused(f"{url}: {problem}")


def _what(action: Action) -> str:
    if action.path.endswith("/track"):
        return str(action.body["event"])
    return "order_placed" if action.path.endswith("/orders") else "customer"


def now_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


def rfc3339(at_ms: int) -> str:
    """The time as the gateway reads it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
