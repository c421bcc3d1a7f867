"""Carts into campaigns, on the real servers: what stands on the topics in the end."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio

from tests.eventually import eventually
from tests.integration.campaigns_harness import LEVEL, Campaigns, Shopper, running, world
from trolleybus.contracts import ids
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerProfile, CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import (
    MessageDeferred,
    MessageRefused,
    MessageRequested,
    MessageSent,
    MessageWithdrawn,
)
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.security import Links

SECOND = {"delay": "1s", "subject": "s", "html": "h {{ unsubscribe_url }}", "text": "t {{ unsubscribe_url }}"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def campaigns(env: dict[str, str], tmp_path_factory: Any) -> AsyncIterator[Campaigns]:
    log = tmp_path_factory.mktemp("campaigns") / "log"
    async with world(env, "cj.") as around, running(around, log, CONTACT_WAIT_SECONDS="5") as service:
        yield service


def now() -> int:
    return int(time.time() * 1000)


def order_of(shopper: Shopper, **changes: Any) -> OrderPlaced:
    known: dict[str, Any] = {
        "id": uuid4().hex,
        "store_id": shopper.store_id,
        "occurred_at": now(),
        "order_id": f"order-{uuid4().hex[:8]}",
        "cart_id": shopper.cart_id,
        "customer_id": shopper.customer_id,
        "identities": (shopper.email_hash,),
    }
    return OrderPlaced(**{**known, **changes})


def outcome(request: MessageRequested) -> dict[str, Any]:
    """What every record of a message repeats of its request."""
    return {
        "id": uuid4().hex,
        "occurred_at": now(),
        **{
            name: getattr(request, name)
            for name in ("store_id", "message_id", "journey_id", "campaign_id", "cart_id", "customer_id", "step")
        },
    }


async def test_an_abandoned_cart_becomes_a_request_with_all_that_the_gate_needs(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store(shop_url="https://shop.example.com", language="es-ES", country="ES")
    shopper = await campaigns.known_shopper(store_id)
    cart = shopper.abandoned()
    await campaigns.writer.send(cart)
    (request,) = await campaigns.tells(MessageRequested, store_id)

    campaign_id = await campaigns.campaign_of(store_id)
    journey_id = ids.journey(campaign_id, cart.episode_id)
    assert request.message_id == ids.message(journey_id, 0, "email", 1)
    assert (request.journey_id, request.campaign_id) == (journey_id, campaign_id)
    assert (request.address, request.address_hash) == (shopper.email, shopper.email_hash)
    assert request.purchase_since == cart.opened_at
    assert shopper.email_hash in request.identities
    assert (request.time_zone, request.country, request.locale) == ("Europe/Madrid", "ES", "es-ES")
    assert request.not_before <= now() + 300_000
    assert request.expires_at > now()
    assert "49,90" in request.html
    assert "Hello Sample" in request.text
    token = request.html.partition("/u/")[2].partition('"')[0]
    assert Links([campaigns.env["SIGNING_KEYS"]]).read("unsubscribe", token) == {"m": request.message_id}

    (entered,) = await campaigns.tells(JourneyEntered, store_id)
    assert (entered.cause_id, entered.value) == (cart.id, cart.value)
    (decided,) = await campaigns.tells(StepDecided, store_id)
    assert (decided.decision, decided.message_id) == ("send", request.message_id)


async def test_the_same_abandonment_twice_is_one_journey(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    cart = shopper.abandoned()
    await campaigns.writer.send(cart, cart)
    await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(replace(cart, fired_at=5))
    await campaigns.settled()
    assert len(campaigns.told(MessageRequested, store_id)) == 1
    assert len(campaigns.told(JourneyEntered, store_id)) == 1


async def test_a_cart_enters_once_in_the_reentry_window_and_again_after_it(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(_cleared(shopper, "1"))
    await campaigns.tells(JourneyExited, store_id)

    await campaigns.writer.send(shopper.abandoned(episode="2"))
    (skipped,) = await campaigns.tells(JourneySkipped, store_id)
    assert skipped.rule == "reentry"

    await campaigns.change_campaign(store_id, reentry=0)
    await campaigns.writer.send(shopper.abandoned(episode="3"))
    assert len(await campaigns.tells(MessageRequested, store_id, 2)) == 2


async def test_the_share_held_out_is_recorded_and_never_written_to(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    await campaigns.change_campaign(store_id, holdout_share=0.5)
    shoppers = [await campaigns.known_shopper(store_id) for _ in range(12)]
    await campaigns.writer.send(*(shopper.abandoned() for shopper in shoppers))

    async def all_decided() -> bool:
        held, entered = campaigns.told(HeldOut, store_id), campaigns.told(JourneyEntered, store_id)
        return len(held) + len(entered) == len(shoppers)

    await eventually(all_decided)
    held = campaigns.told(HeldOut, store_id)
    assert all(one.holdout_share == 0.5 for one in held)
    entered = await campaigns.tells(MessageRequested, store_id, len(shoppers) - len(held))
    assert {one.cart_id for one in held}.isdisjoint(one.cart_id for one in entered)


async def test_P3_an_order_of_the_cart_takes_back_the_request_and_ends_the_journey(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    (request,) = await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(order_of(shopper, identities=()))
    (withdrawn,) = await campaigns.tells(MessageWithdrawn, store_id)
    assert (withdrawn.message_id, withdrawn.customer_id) == (request.message_id, request.customer_id)
    (exited,) = await campaigns.tells(JourneyExited, store_id)
    assert exited.reason == "ordered"


async def test_P3_an_order_by_an_identity_that_was_linked_to_the_shoppers_ends_the_journey(
    campaigns: Campaigns,
) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    other = campaigns.hasher.hash(store_id, "customer", "account")
    middle = campaigns.hasher.hash(store_id, "anonymous", "browser")
    await campaigns.writer.send(
        IdentitiesLinked(id=uuid4().hex, store_id=store_id, customer_id="a", identities=(middle, other)),
        IdentitiesLinked(id=uuid4().hex, store_id=store_id, customer_id="b", identities=(shopper.email_hash, middle)),
    )
    await campaigns.settled()
    await campaigns.writer.send(shopper.abandoned())
    await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(order_of(shopper, cart_id="another", customer_id="account", identities=(other,)))
    (exited,) = await campaigns.tells(JourneyExited, store_id)
    assert exited.reason == "ordered"


async def test_P3_a_cart_ordered_before_it_enters_is_skipped_and_an_order_before_it_was_opened_does_not_count(
    campaigns: Campaigns,
) -> None:
    store_id = await campaigns.open_store()
    buyer, earlier_buyer = await campaigns.known_shopper(store_id), await campaigns.known_shopper(store_id)
    await campaigns.writer.send(
        order_of(buyer, cart_id=""), order_of(earlier_buyer, cart_id="", occurred_at=now() - 7_200_000)
    )
    await campaigns.settled()
    await campaigns.writer.send(buyer.abandoned(), earlier_buyer.abandoned())
    (skipped,) = await campaigns.tells(JourneySkipped, store_id)
    assert (skipped.rule, skipped.cart_id) == ("ordered", buyer.cart_id)
    (request,) = await campaigns.tells(MessageRequested, store_id)
    assert request.cart_id == earlier_buyer.cart_id


async def test_a_deferred_message_is_written_anew_as_attempt_two(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    (first,) = await campaigns.tells(MessageRequested, store_id)
    until = now() + 1_500
    await campaigns.writer.send(MessageDeferred(**outcome(first), until=until, rule="quiet_hours"))
    second = (await campaigns.tells(MessageRequested, store_id, 2))[1]
    assert second.message_id == ids.message(first.journey_id, 0, "email", 2)
    assert (second.step, second.attempt) == (0, 2)
    assert second.occurred_at >= until
    assert 0 < second.deferred_from <= first.occurred_at
    waits = [one for one in campaigns.told(StepDecided, store_id) if one.decision == "wait"]
    assert [(one.rule, one.due_at) for one in waits] == [("quiet_hours", until)]


async def test_steps_follow_each_other_once_the_one_before_was_sent(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    await campaigns.change_campaign(store_id, steps=[{**SECOND, "delay": "0s"}, SECOND])
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    (first,) = await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(MessageSent(**outcome(first)))
    second = (await campaigns.tells(MessageRequested, store_id, 2))[1]
    assert second.step == 1
    assert second.occurred_at >= first.occurred_at + 1_000
    await campaigns.writer.send(MessageSent(**outcome(second)))
    (exited,) = await campaigns.tells(JourneyExited, store_id)
    assert (exited.reason, exited.steps_sent) == ("completed", 2)


async def test_a_refusal_for_want_of_consent_ends_the_journey(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    (request,) = await campaigns.tells(MessageRequested, store_id)
    await campaigns.writer.send(MessageRefused(**outcome(request), rule="no_consent"))
    (exited,) = await campaigns.tells(JourneyExited, store_id)
    assert exited.reason == "refused"


async def test_a_shopper_who_is_back_is_not_written_to_until_the_cart_is_left_again(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    await campaigns.change_campaign(store_id, steps=[{**SECOND, "delay": "2s"}])
    shopper = await campaigns.known_shopper(store_id)
    first = shopper.abandoned()
    await campaigns.writer.send(first)
    await campaigns.tells(JourneyEntered, store_id)
    again = shopper.abandoned(episode="2", opened_at=first.opened_at + 5)
    await campaigns.writer.send(
        CartResumed(
            id=uuid4().hex,
            store_id=store_id,
            cart_id=shopper.cart_id,
            episode_id=again.episode_id,
            previous_episode_id=first.episode_id,
        )
    )

    async def held() -> bool:
        return any(one.decision == "hold" for one in campaigns.told(StepDecided, store_id))

    await eventually(held)
    await asyncio.sleep(2.5)  # The step's delay and more: nothing may come.
    assert campaigns.told(MessageRequested, store_id) == []

    await campaigns.writer.send(again)
    (request,) = await campaigns.tells(MessageRequested, store_id)
    assert request.journey_id == campaigns.told(JourneyEntered, store_id)[0].journey_id
    assert (request.episode_id, request.purchase_since) == (again.episode_id, again.opened_at)
    assert len(campaigns.told(JourneyEntered, store_id)) == 1


async def test_a_cart_cleared_recovered_or_expired_ends_its_journey(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shoppers = [await campaigns.known_shopper(store_id) for _ in range(3)]
    await campaigns.writer.send(*(shopper.abandoned() for shopper in shoppers))
    await campaigns.tells(MessageRequested, store_id, 3)
    for shopper, kind in zip(shoppers, (CartCleared, CartRecovered, CartExpired), strict=True):
        fact = kind(
            id=uuid4().hex,
            store_id=store_id,
            cart_id=shopper.cart_id,
            episode_id=ids.episode(store_id, shopper.cart_id, "1"),
        )
        await campaigns.writer.send(fact)
    exits = await campaigns.tells(JourneyExited, store_id, 3)
    assert {one.cart_id: one.reason for one in exits} == {
        shopper.cart_id: reason for shopper, reason in zip(shoppers, ("cleared", "ordered", "expired"), strict=True)
    }


async def test_an_imported_cart_is_never_written_to(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    history, live = await campaigns.known_shopper(store_id), await campaigns.known_shopper(store_id)
    await campaigns.writer.send(history.abandoned(imported=True), live.abandoned())
    await campaigns.tells(MessageRequested, store_id)
    await campaigns.settled()
    assert {one.cart_id for one in campaigns.told(JourneyEntered, store_id)} == {live.cart_id}
    assert campaigns.told(JourneySkipped, store_id) == []


async def test_P5_a_shopper_who_said_no_is_skipped_with_the_rule(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    no = ConsentChanged(
        id=uuid4().hex,
        store_id=store_id,
        occurred_at=now(),
        channel="email",
        address_hash=shopper.email_hash,
        state="revoked",
        by="person",
    )
    await campaigns.writer.send(no)
    await campaigns.settled()
    await campaigns.writer.send(shopper.abandoned())
    (skipped,) = await campaigns.tells(JourneySkipped, store_id)
    assert skipped.rule == "no_consent"


async def test_a_profile_that_comes_after_the_abandonment_is_waited_for(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = campaigns.shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    await campaigns.settled()
    assert campaigns.told(JourneySkipped, store_id) == []
    await campaigns.introduce(shopper)
    (request,) = await campaigns.tells(MessageRequested, store_id)
    assert request.address == shopper.email


async def test_an_address_that_never_comes_is_skipped_after_the_wait(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    unknown, without = campaigns.shopper(store_id), campaigns.shopper(store_id)
    await campaigns.writer.send(unknown.abandoned(), without.abandoned(contact_known=False))
    skipped = await campaigns.tells(JourneySkipped, store_id, 2)
    assert {one.cart_id: one.rule for one in skipped} == {
        unknown.cart_id: "no_contact",
        without.cart_id: "no_contact",
    }
    assert skipped[0].cart_id == without.cart_id  # At once; the other after its wait.


async def test_a_step_that_cannot_be_rendered_for_a_shopper_is_skipped_with_the_rule(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    picky = "{% for line in cart.lines %}{% if line.name == 'Kettle' %}{{ line.secret }}{% endif %}{% endfor %}"
    await campaigns.change_campaign(
        store_id,
        steps=[{**SECOND, "delay": "0s", "html": picky + "{{ unsubscribe_url }}"}, {**SECOND, "delay": "0s"}],
    )
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    (request,) = await campaigns.tells(MessageRequested, store_id)
    assert request.step == 1
    skips = [one for one in campaigns.told(StepDecided, store_id) if one.decision == "skip"]
    assert [(one.step, one.rule) for one in skips] == [(0, "template_error")]


async def test_a_level_that_no_campaign_enters_at_starts_nothing(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned(level=3600))
    await campaigns.settled()
    assert not campaigns.told(JourneyEntered, store_id)
    assert not campaigns.told(JourneySkipped, store_id)


async def test_a_paused_campaign_waits_and_goes_on_when_it_is_active_again(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    await campaigns.change_campaign(store_id, steps=[SECOND])
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    await campaigns.tells(JourneyEntered, store_id)
    await campaigns.change_campaign(store_id, status="paused")
    await asyncio.sleep(1.5)  # The step's delay and more: nothing may come.
    assert campaigns.told(MessageRequested, store_id) == []
    await campaigns.change_campaign(store_id, status="active")
    await campaigns.tells(MessageRequested, store_id)


async def test_a_customers_profile_is_published_whole_when_it_changes(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.tells(CustomerProfile, store_id)
    update = CustomerUpdated(
        id=uuid4().hex, store_id=store_id, occurred_at=now(), customer_id=shopper.customer_id, last_name="Shopper"
    )
    await campaigns.writer.send(update, update)
    latest = (await campaigns.tells(CustomerProfile, store_id, 2))[-1]
    assert (latest.email, latest.first_name, latest.last_name) == (shopper.email, "Sample", "Shopper")
    await campaigns.settled()
    assert len(campaigns.told(CustomerProfile, store_id)) == 2


async def test_P7_a_shopper_of_one_store_is_unknown_in_another(campaigns: Campaigns) -> None:
    here, there = await campaigns.open_store(), await campaigns.open_store()
    shopper = await campaigns.known_shopper(here)
    await campaigns.settled()
    same_person = Shopper(there, shopper.email, shopper.email_hash, shopper.customer_id, shopper.cart_id)
    await campaigns.writer.send(same_person.abandoned())
    (skipped,) = await campaigns.tells(JourneySkipped, there)
    assert skipped.rule == "no_contact"
    await campaigns.writer.send(order_of(same_person), shopper.abandoned())
    await campaigns.tells(MessageRequested, here)


async def test_a_level_further_on_does_not_start_the_journey_again(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shopper = await campaigns.known_shopper(store_id)
    await campaigns.writer.send(shopper.abandoned())
    await campaigns.tells(MessageRequested, store_id)
    later: CartAbandoned = shopper.abandoned(level=3600)
    await campaigns.writer.send(later)
    await campaigns.settled()
    assert len(campaigns.told(JourneyEntered, store_id)) == 1
    assert LEVEL == 900


def _cleared(shopper: Shopper, episode: str) -> CartCleared:
    return CartCleared(
        id=uuid4().hex,
        store_id=shopper.store_id,
        cart_id=shopper.cart_id,
        episode_id=ids.episode(shopper.store_id, shopper.cart_id, episode),
    )


async def test_P2_killed_while_it_works_the_service_tells_each_fact_under_one_id(
    env: dict[str, str], tmp_path: Path
) -> None:
    async with world(env, "ck.") as around:
        async with running(around, tmp_path / "log", STEP_BATCH="2") as service:
            store_id = await service.open_store()
            shoppers = [await service.known_shopper(store_id) for _ in range(40)]
            await service.settled()
            await service.writer.send(*(shopper.abandoned() for shopper in shoppers))
            await service.tells(MessageRequested, store_id, 3)
            assert service.process is not None
            service.process.kill()
            await service.process.wait()
        async with running(around, tmp_path / "log"):
            await around.tells(MessageRequested, store_id, len(shoppers))
            await around.settled()
    requests = [one for one in around.seen if isinstance(one, MessageRequested)]
    assert len({one.message_id for one in requests}) == len({one.cart_id for one in requests}) == len(shoppers)
    entered = [one for one in around.seen if isinstance(one, JourneyEntered)]
    assert len({one.id for one in entered}) == len(shoppers)
