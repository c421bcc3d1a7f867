"""One journey's turn: entry or the next step, decided on what is known at that moment."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.campaigns.audience.people import People, Person
from services.campaigns.content import mail
from services.campaigns.content.links import MessageLinks, restore_target
from services.campaigns.content.variables import variables
from services.campaigns.journeys import requests as messages
from services.campaigns.journeys.circumstances import consent_of, person_of
from services.campaigns.journeys.domain import entry
from services.campaigns.journeys.domain import journey as machine
from services.campaigns.journeys.domain.campaign import Campaign, Step
from services.campaigns.journeys.domain.journey import Ask, Change, Journey, Told
from services.campaigns.journeys.store import campaigns, journeys
from services.campaigns.stores import store as stores
from trolleybus.contracts.messages import MessageRequested
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Connection
from trolleybus.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Turns:
    people: People
    links: MessageLinks
    sender_address: str  # Of stores that name no sender.
    request_ttl_ms: int

    async def take(self, conn: Connection, journey: Journey, now: int) -> Sequence[Record]:
        """Saves what became of the journey and returns the records to be told, in their order."""
        store_id = journey.cart.store_id
        campaign = await campaigns.of_journey(conn, store_id, journey.campaign_id)
        config = await stores.of_campaign(conn, store_id)
        person = await person_of(conn, self.people, journey.cart)
        told: list[Told] = []
        requests: tuple[MessageRequested, ...] = ()
        if journey.status == machine.WAITING:
            change = await _entry(conn, journey, campaign, config, person, now)
            journey, told = change.journey, [*change.told]
        if journey.status == machine.ACTIVE and journey.due_at <= now:
            change, requests = await self._step(journey, campaign, config, person, now)
            journey, told = change.journey, [*told, *change.told]
        await journeys.save(conn, journey, now)
        await journeys.log(conn, journey.campaign_id, told)
        return (*told, *requests)

    async def _step(
        self, journey: Journey, campaign: Campaign, config: StoreConfig, person: Person, now: int
    ) -> tuple[Change, tuple[MessageRequested, ...]]:
        turn = machine.turn(
            journey,
            campaign,
            address_hash=person.contact.address_hash,
            consent=consent_of(person, config),
            ordered=person.ordered,
            now=now,
        )
        if isinstance(turn, Change):
            return turn, ()
        step = campaign.steps[journey.step]
        try:
            written = await self._written(turn, journey, step, config, person)
        except mail.Unwritable as error:
            fault = error.fault
            log.warning(
                "a step cannot be written",
                store_id=config.store_id,
                campaign_id=campaign.campaign_id,
                step=journey.step,
                field=fault.field,
                line=fault.line,
                detail=fault.detail,
            )
            return machine.skip_step(journey, campaign, "template_error", now), ()
        request = messages.message_requested(
            message_id=turn.message_id,
            journey=journey,
            step=step,
            config=config,
            contact=person.contact,
            identities=person.identities,
            mail=written,
            default_sender=self.sender_address,
            now=now,
            ttl_ms=self.request_ttl_ms,
        )
        return machine.asked(journey, campaign, turn.message_id, now), (request,)

    async def _written(self, ask: Ask, journey: Journey, step: Step, config: StoreConfig, person: Person) -> mail.Mail:
        names = variables(
            config,
            person.contact,
            journey.cart,
            restore_url=self.links.restore(ask.message_id, restore_target(config, journey.cart)),
            unsubscribe_url=self.links.unsubscribe(ask.message_id),
        )
        # A template may take its whole time: the loop serves others meanwhile.
        return await asyncio.to_thread(mail.write, mail.Templates(step.subject, step.html, step.text), names)


async def _entry(
    conn: Connection, journey: Journey, campaign: Campaign, config: StoreConfig, person: Person, now: int
) -> Change:
    known = entry.Circumstances(
        contact_known=journey.cart.contact_known,
        address_hash=person.contact.address_hash,
        consent=consent_of(person, config),
        ordered=person.ordered,
        entered_lately=await journeys.entered_since(conn, journey, now - campaign.reentry_seconds * 1000),
        waited=now >= journey.wait_until,
    )
    decision = entry.decide(campaign, known)
    match decision.verdict:
        case entry.Verdict.ENTER:
            return machine.enter(journey, campaign, now)
        case entry.Verdict.HOLD_OUT:
            return machine.hold_out(journey, campaign, now)
        case entry.Verdict.SKIP:
            return machine.skip(journey, decision.rule, now)
        case entry.Verdict.WAIT:
            return machine.wait(journey, now)
