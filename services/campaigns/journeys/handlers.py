"""What carts, orders and messages do to journeys."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.campaigns.audience import store as audience
from services.campaigns.journeys.domain import journey as machine
from services.campaigns.journeys.domain.campaign import Campaign
from services.campaigns.journeys.domain.journey import Change, Journey, Told
from services.campaigns.journeys.store import campaigns, journeys
from trolleybus.contracts.messages import (
    MessageBounced,
    MessageComplained,
    MessageDeferred,
    MessageDelivered,
    MessageRefused,
    MessageSent,
    MessageUnsubscribed,
)
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.db import Connection
from trolleybus.envelope import Received
from trolleybus.telemetry import current_traceparent

_ENDS: dict[type[Record], str] = {CartCleared: "cleared", CartRecovered: "ordered", CartExpired: "expired"}
_Outcome = (
    MessageSent
    | MessageDelivered
    | MessageDeferred
    | MessageRefused
    | MessageBounced
    | MessageComplained
    | MessageUnsubscribed
)


@dataclass(frozen=True, slots=True)
class Journeys:
    """`contact_wait_ms`: how long an abandoned cart waits for its shopper's address and consent to arrive."""

    contact_wait_ms: int

    async def on_record(self, conn: Connection, received: Received[Record], now: int) -> Sequence[Told]:
        """The records to be told; all else is in the database when this returns."""
        record = received.record
        match record:
            case CartAbandoned():
                return await self._on_abandoned(conn, record, now)
            case CartResumed():
                return await _on_resumed(conn, record, now)
            case CartCleared() | CartRecovered() | CartExpired():
                return await _on_cart_ended(conn, record, now)
            case OrderPlaced():
                return await _on_order(conn, record, now)
            case _ if isinstance(record, _Outcome):
                return await _on_outcome(conn, record, now)
            case _:
                return ()

    async def _on_abandoned(self, conn: Connection, cart: CartAbandoned, now: int) -> Sequence[Told]:
        if cart.imported:
            return ()  # History is measured, never written to.
        told: list[Told] = []
        on_their_way = await journeys.open_of_cart(conn, cart.store_id, cart.cart_id)
        for journey in on_their_way:
            campaign = await _campaign_of(conn, journey)
            told += await _keep(conn, journey, machine.abandoned_again(journey, campaign, cart, now), now)
        busy = {journey.campaign_id for journey in on_their_way}
        for campaign in await campaigns.entered_at(conn, cart.store_id, cart.level_seconds):
            if campaign.campaign_id not in busy:
                await self._arrive(conn, campaign, cart, now)
        return told

    async def _arrive(self, conn: Connection, campaign: Campaign, cart: CartAbandoned, now: int) -> None:
        """Written down as due at once: a worker decides, in a transaction of its own."""
        journey = machine.arrived(campaign, cart, now, self.contact_wait_ms)
        if not await journeys.exists(conn, cart.store_id, journey.journey_id):
            await journeys.save(conn, journey, now, current_traceparent())


async def _on_resumed(conn: Connection, fact: CartResumed, now: int) -> Sequence[Told]:
    told: list[Told] = []
    for journey in await journeys.open_of_cart(conn, fact.store_id, fact.cart_id):
        campaign = await _campaign_of(conn, journey)
        told += await _keep(conn, journey, machine.resumed(journey, campaign, fact, now), now)
    return told


async def _on_cart_ended(conn: Connection, fact: CartCleared | CartRecovered | CartExpired, now: int) -> Sequence[Told]:
    told: list[Told] = []
    for journey in await journeys.open_of_cart(conn, fact.store_id, fact.cart_id):
        told += await _keep(conn, journey, machine.cart_ended(journey, fact.episode_id, _ENDS[type(fact)], now), now)
    return told


async def _on_order(conn: Connection, order: OrderPlaced, now: int) -> Sequence[Told]:
    buyer = await audience.same_person(conn, order.store_id, order.identities)
    told: list[Told] = []
    for journey in await journeys.open_of_buyer(conn, order.store_id, order.cart_id, buyer, order.occurred_at):
        told += await _keep(conn, journey, machine.end(journey, "ordered", now), now)
    return told


async def _on_outcome(conn: Connection, fact: _Outcome, now: int) -> Sequence[Told]:
    journey = await journeys.find_to_change(conn, fact.store_id, fact.journey_id)
    if journey is None:
        return ()  # Imported history, or another campaign tool's message.
    campaign = await _campaign_of(conn, journey)
    return await _keep(conn, journey, _outcome(journey, campaign, fact, now), now)


def _outcome(journey: Journey, campaign: Campaign, fact: _Outcome, now: int) -> Change:
    match fact:
        case MessageSent() | MessageDelivered():
            return machine.message_sent(journey, campaign, fact.message_id, now)
        case MessageDeferred():
            return machine.message_deferred(journey, campaign, fact, now)
        case MessageRefused():
            return machine.message_refused(journey, campaign, fact.message_id, fact.rule, now)
        case MessageBounced():
            return machine.bounced(journey, campaign, fact, now)
        case MessageComplained():
            return machine.end(journey, "complained", now)
        case MessageUnsubscribed():
            return machine.end(journey, "unsubscribed", now)


async def _campaign_of(conn: Connection, journey: Journey) -> Campaign:
    return await campaigns.of_journey(conn, journey.cart.store_id, journey.campaign_id)


async def _keep(conn: Connection, before: Journey, change: Change, now: int) -> Sequence[Told]:
    if change.journey != before:
        await journeys.save(conn, change.journey, now)
    await journeys.log(conn, before.campaign_id, change.told)
    return change.told
