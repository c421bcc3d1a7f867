"""The life of a store's carts as records, from a seed: what every service would write of it."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import (
    MessageBounced,
    MessageClicked,
    MessageDeferred,
    MessageDelivered,
    MessageInDoubt,
    MessageOpened,
    MessageRefused,
    MessageSent,
)
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed

MINUTE = 60_000
LEVELS = (900, 3600)


def life(store_id: str, seed: int, carts: int, start: int, spacing_ms: int = 5 * MINUTE) -> list[Record]:
    """Records of so many carts, the first opened at `start` (ms), in no service's order."""
    random = Random(seed)
    found: list[Record] = []
    for number in range(carts):
        found += cart_life(random, store_id, f"cart-{seed}-{number}", start + number * spacing_ms)
    return found


def cart_life(random: Random, store_id: str, cart_id: str, at: int) -> Iterator[Record]:
    currency = random.choice(["EUR", "EUR", "USD"])
    value = Money(minor=random.randrange(500, 20_000), currency=currency)
    person = (f"email:v1:{random.randrange(10**9):032x}", f"anonymous:v1:{cart_id}")
    line = CartLine(line_id="a", product_id="mug", quantity=1, unit_price=value)
    numbers = iter(range(10_000))

    def activity(when: int, kind: str, **more: Any) -> CartActivity:
        return CartActivity(
            id=ids.derived_id(store_id, cart_id, next(numbers)),
            store_id=store_id,
            cart_id=cart_id,
            occurred_at=when,
            received_at=when,
            kind=kind,
            **more,
        )

    if random.random() < 0.08:
        yield activity(at, "snapshot", lines=(line,), marks=("bot",))
        return
    if random.random() < 0.04:
        yield activity(at, "snapshot", lines=(line,), marks=("incomplete",))
        return
    yield activity(at, "product_viewed")
    if random.random() < 0.1:
        return
    opening = activity(at + MINUTE, "snapshot", lines=(line,), email="shopper@example.com" if at % 2 else "")
    yield opening
    yield ConsentChanged(
        id=ids.derived_id("consent", cart_id),
        store_id=store_id,
        occurred_at=at,
        received_at=at,
        channel="email",
        address_hash=person[0],
        state=random.choice(["granted", "revoked"]),
        by=random.choice(["person", "shop"]),
        evidence="checkbox",
    )
    episode = ids.episode(store_id, cart_id, opening.id)
    if random.random() < 0.3:
        yield from _order(random, store_id, cart_id, at + 3 * MINUTE, value, person, activity)
        return
    common: dict[str, Any] = {"store_id": store_id, "cart_id": cart_id, "episode_id": episode, "customer_id": person[1]}
    if random.random() < 0.1:
        yield activity(at + 2 * MINUTE, "cart_emptied")
        yield CartCleared(id=ids.episode_end(episode, "cleared", "x"), occurred_at=at + 2 * MINUTE, **common)
        return
    fired = LEVELS[: random.randint(1, 2)]
    for number, level in enumerate(fired):
        yield CartAbandoned(
            id=ids.abandonment(episode, level),
            occurred_at=at + MINUTE + level * 1000,
            due_at=at + MINUTE + level * 1000,
            level=number + 1,
            level_seconds=level,
            opened_at=at + MINUTE,
            first_activity_at=at,
            last_activity_at=at + MINUTE,
            value=value,
            identities=person,
            contact_known=True,
            **common,
        )
    first = at + MINUTE + fired[0] * 1000
    journey = ids.journey("campaign", episode)
    arm = random.random()
    entry: dict[str, Any] = {
        "journey_id": journey,
        "campaign_id": "campaign",
        "identities": person,
        "value": value,
    } | common
    if arm < 0.1:
        yield JourneySkipped(id=f"skip-{journey}", occurred_at=first, rule="no_contact", **entry)
    elif arm < 0.4:
        yield HeldOut(id=f"held-{journey}", occurred_at=first, **entry)
    else:
        yield JourneyEntered(id=f"in-{journey}", occurred_at=first, **entry)
        yield from _message(random, journey, first + MINUTE, common)
        yield JourneyExited(
            id=f"out-{journey}",
            occurred_at=first + 10 * MINUTE,
            reason="completed",
            journey_id=journey,
            campaign_id="campaign",
            **common,
        )
    last = at + MINUTE + fired[-1] * 1000
    end = random.random()
    if end < 0.35:
        when = last + 5 * MINUTE
        yield CartResumed(
            id=ids.episode_end(episode, "resumed", "x"),
            occurred_at=when,
            previous_episode_id=episode,
            opened_at=when,
            **common,
        )
        order = list(_order(random, store_id, cart_id, when + MINUTE, value, person, activity))
        yield from order
        yield CartRecovered(
            id=ids.episode_end(episode, "recovered", order[0].id),
            occurred_at=when + MINUTE,
            order_id=f"order-{cart_id}",
            order_total=value,
            value=value,
            levels_fired=fired,
            opened_at=at + MINUTE,
            abandoned_at=first,
            last_level_at=last,
            **common,
        )
    elif end < 0.5:
        yield CartExpired(
            id=ids.episode_end(episode, "expired", ""),
            occurred_at=at + 86_400_000,
            last_activity_at=at + MINUTE,
            opened_at=at + MINUTE,
            **common,
        )


def _order(
    random: Random,
    store_id: str,
    cart_id: str,
    at: int,
    value: Money,
    person: tuple[str, ...],
    activity: Callable[..., CartActivity],
) -> Iterator[Record]:
    for source in ("shop", "webhook")[: random.randint(1, 2)]:  # Two sources may tell of one order.
        yield OrderPlaced(
            id=f"{source}-{cart_id}",
            store_id=store_id,
            occurred_at=at,
            received_at=at,
            source=source,
            order_id=f"order-{cart_id}",
            cart_id=cart_id if source == "shop" else "",
            identities=person[:1] if source == "shop" else person,
            total=value,
        )
    if random.random() < 0.15:
        yield OrderChanged(
            id=f"cancel-{cart_id}",
            store_id=store_id,
            occurred_at=at + MINUTE,
            received_at=at + MINUTE,
            order_id=f"order-{cart_id}",
            change="cancelled",
        )
    yield activity(at, "order_placed", order_id=f"order-{cart_id}", total=value)


def _message(random: Random, journey: str, at: int, common: dict[str, Any]) -> Iterator[Record]:
    message = ids.message(journey, 0, "email", 1)
    about: dict[str, Any] = {
        "message_id": message,
        "journey_id": journey,
        "campaign_id": "campaign",
        "channel": "email",
    } | common
    yield StepDecided(id=f"step-{message}", occurred_at=at - 1000, decision="send", **about)
    end = random.random()
    if end < 0.1:
        yield MessageRefused(id=f"refused-{message}", occurred_at=at, rule="consent", **about)
        return
    if end < 0.2:
        yield MessageDeferred(id=f"deferred-{message}", occurred_at=at, rule="quiet_hours", until=at * 2, **about)
        return
    if end < 0.25:
        yield MessageInDoubt(id=f"doubt-{message}", occurred_at=at, **about)
        return
    yield MessageSent(id=f"sent-{message}", occurred_at=at, **about)
    if end < 0.3:
        yield MessageBounced(id=f"bounced-{message}", occurred_at=at + 1, kind="permanent", **about)
        return
    yield MessageDelivered(id=f"delivered-{message}", occurred_at=at + 1, **about)
    if end < 0.7:
        yield MessageOpened(id=f"opened-{message}", occurred_at=at + 2, machine=end < 0.4, **about)
    if end < 0.5:
        yield MessageClicked(id=f"clicked-{message}", occurred_at=at + 3, **about)
