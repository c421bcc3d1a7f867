"""Campaigns as operators make them."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from services.campaigns.content import mail, samples
from services.campaigns.content.defaults import default_templates
from services.campaigns.journeys.domain.campaign import ACTIVE, LARGEST_HOLDOUT, STATUSES, Campaign, Step
from services.campaigns.journeys.store import campaigns, journeys
from services.campaigns.stores import store as stores
from services.campaigns.stores.domain import rules
from services.campaigns.stores.domain.durations import text
from services.campaigns.stores.service import NoSuchStore, Refused
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection, Pool

MOST_STEPS = 10
LONGEST_DELAY_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Fault:
    """`field` is a JSON pointer without its first slash; `line` is that of a template, 0 where there is none."""

    field: str
    detail: str
    line: int = 0


class NoSuchCampaign(LookupError):
    """The store has no campaign of that id."""


class InUse(Exception):
    """A campaign with journeys is paused, not deleted."""


class CampaignRefused(ValueError):
    """The campaign is not valid."""

    def __init__(self, found: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in found))
        self.faults = found


class Campaigns:
    def __init__(self, pool: Pool, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    async def create(self, wanted: Campaign) -> Campaign:
        """Raises NoSuchStore, CampaignRefused. Entry level 0 is the store's first."""
        async with self._pool.connection() as conn:
            config = await _store(conn, wanted.store_id)
            return await self._create(conn, config, wanted)

    async def create_default(self, conn: Connection, config: StoreConfig) -> str:
        """Three reminders: at the first level, then as far apart as the store's levels are, a day at most. Its id."""
        levels = (*config.levels, config.levels[-1] + 86_400, config.levels[-1] + 2 * 86_400)
        delays = (0, levels[1] - levels[0], levels[2] - levels[1])
        steps = tuple(
            Step(delay_seconds=delay, subject=words.subject, html=words.html, text=words.text)
            for delay, words in zip(delays, default_templates(), strict=True)
        )
        wanted = Campaign(store_id=config.store_id, name="Cart recovery", status=ACTIVE, steps=steps)
        return (await self._create(conn, config, wanted)).campaign_id

    async def change(self, store_id: str, campaign_id: str, change: Callable[[Campaign], Campaign]) -> Campaign:
        """Raises NoSuchStore, NoSuchCampaign, CampaignRefused."""
        async with self._pool.connection() as conn:
            config = await _store(conn, store_id)
            before = await campaigns.find_to_change(conn, store_id, campaign_id)
            if before is None:
                raise NoSuchCampaign(campaign_id)
            after = change(before)
            if after == before:
                return before
            after = replace(after, version=before.version + 1, updated_at=self._clock())
            _check(after, config)
            await campaigns.replace(conn, after)
            return after

    async def delete(self, store_id: str, campaign_id: str) -> None:
        """Raises NoSuchCampaign, InUse."""
        async with self._pool.connection() as conn:
            if await campaigns.find_to_change(conn, store_id, campaign_id) is None:
                raise NoSuchCampaign(campaign_id)
            if await journeys.has_any(conn, store_id, campaign_id):
                raise InUse(campaign_id)
            await campaigns.delete(conn, store_id, campaign_id)

    async def find(self, store_id: str, campaign_id: str) -> tuple[StoreConfig, Campaign]:
        """Raises NoSuchStore, NoSuchCampaign."""
        async with self._pool.connection() as conn:
            config = await _store(conn, store_id)
            campaign = await campaigns.find(conn, store_id, campaign_id)
        if campaign is None:
            raise NoSuchCampaign(campaign_id)
        return config, campaign

    async def of_store(self, store_id: str) -> list[Campaign]:
        """Raises NoSuchStore."""
        async with self._pool.connection() as conn:
            await _store(conn, store_id)
            return await campaigns.of_store(conn, store_id)

    async def _create(self, conn: Connection, config: StoreConfig, wanted: Campaign) -> Campaign:
        now = self._clock()
        campaign = replace(
            wanted,
            campaign_id=f"cmp_{secrets.token_hex(8)}",
            entry_level=wanted.entry_level or config.levels[0],
            created_at=now,
            updated_at=now,
        )
        _check(campaign, config)
        await campaigns.insert(conn, campaign)
        return campaign


async def entry_levels_kept(conn: Connection, config: StoreConfig) -> None:
    """A store's levels may not leave a campaign without its entry; raises Refused."""
    for campaign in await campaigns.of_store(conn, config.store_id):
        if campaign.status == ACTIVE and campaign.entry_level not in config.levels:
            detail = (
                f"carts enter the campaign {campaign.name!r} at {text(campaign.entry_level)}: change or pause it first"
            )
            raise Refused((rules.Fault("levels", detail),))


def preview(config: StoreConfig, step: Step) -> mail.Mail:
    """A step's mail to a sample shopper; raises mail.Unwritable."""
    return mail.write(mail.Templates(step.subject, step.html, step.text), samples.full(config))


def faults(campaign: Campaign, config: StoreConfig) -> Iterator[Fault]:
    if not campaign.name.strip() or len(campaign.name) > 120:
        yield Fault("name", "a campaign has a name of at most 120 characters")
    if campaign.status not in STATUSES:
        yield Fault("status", f"a campaign is {', '.join(STATUSES)}")
    if campaign.entry_level not in config.levels:
        levels = ", ".join(text(level) for level in config.levels)
        yield Fault("entry_level", f"the store has no such level; it has {levels}")
    if not 0 <= campaign.holdout_share <= LARGEST_HOLDOUT:
        yield Fault("holdout_share", f"from 0 to {LARGEST_HOLDOUT}")
    if campaign.reentry_seconds < 0:
        yield Fault("reentry", "not less than nothing")
    if len(campaign.steps) > MOST_STEPS or (campaign.status == ACTIVE and not campaign.steps):
        yield Fault("steps", f"an active campaign has 1 to {MOST_STEPS} steps")
    for number, step in enumerate(campaign.steps):
        yield from _step_faults(number, step, config)


def _step_faults(number: int, step: Step, config: StoreConfig) -> Iterator[Fault]:
    if step.channel != "email":
        yield Fault(f"steps/{number}/channel", "e-mail is the only channel yet")
    if not 0 <= step.delay_seconds <= LONGEST_DELAY_S:
        yield Fault(f"steps/{number}/delay", f"from 0 to {text(LONGEST_DELAY_S)}")
    templates = mail.Templates(step.subject, step.html, step.text)
    for fault in mail.faults(templates, samples.full(config), samples.sparse(config)):
        place = f"step {number + 1}, {fault.field}" + (f", line {fault.line}" if fault.line else "")
        yield Fault(f"steps/{number}/{fault.field}", f"{place}: {fault.detail}", fault.line)


def _check(campaign: Campaign, config: StoreConfig) -> None:
    found = tuple(faults(campaign, config))
    if found:
        raise CampaignRefused(found)


async def _store(conn: Connection, store_id: str) -> StoreConfig:
    config = await stores.find(conn, store_id)
    if config is None:
        raise NoSuchStore(store_id)
    return config
