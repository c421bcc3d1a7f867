"""What became of each cart of the past: its events, its order, and what a campaign did about it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tools.seed.people import Person
from tools.simulator.catalogue import Item
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, StepDecided
from trolleybus.contracts.messages import MessageClicked, MessageDelivered, MessageOpened, MessageSent
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.contracts.values import cart_value

MINUTE = 60_000
HOLDOUT_SHARE = 0.1
BUYS_WHEN_WRITTEN_TO = 0.32
BUYS_WHEN_HELD_OUT = 0.19


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What a history needs to know of its store."""

    store_id: str
    version: int
    currency: str
    first_level_s: int
    campaign_id: str


class CartStory:
    """One cart of the past, told as imported records."""

    def __init__(
        self, random: Random, store: Store, person: Person, items: list[Item], name: str, began_ms: int
    ) -> None:
        self._random = random
        self._store = store
        self._person = person
        self._items = items
        self._cart_id = f"past-{name}"
        self._now = began_ms
        self._lines: tuple[CartLine, ...] = ()
        self._opened_by = ""
        self._opened_at = 0
        self._count = 0
        self.records: list[Record] = []

    @property
    def value(self) -> Money:
        """What the cart is worth now."""
        return cart_value(self._lines, Money(), self._store.currency)

    def fill(self, times: int) -> None:
        """Look at products and put some in."""
        for _ in range(times):
            item = self._random.choice(self._items)
            self._activity("product_viewed", product_id=item.product_id)
            others = tuple(line for line in self._lines if line.product_id != item.product_id)
            self._lines = (*others, self._line(item))
            self._activity("snapshot", lines=self._lines)
            self._now += self._random.randint(20_000, 4 * MINUTE)

    def check_out(self) -> None:
        """One step of the checkout."""
        self._activity("checkout_step", step="contact", email=self._person.email)

    def buy(self, after_ms: int = 0) -> None:
        """An order of the cart."""
        self._now += after_ms
        order_id = f"order-{self._cart_id}"
        event = ids.source_event(self._store.store_id, "import", order_id)
        self._add(
            OrderPlaced(
                id=ids.record_of(event, "OrderPlaced"),
                order_id=order_id,
                cart_id=self._cart_id,
                identities=self._person.identities,
                total=self.value,
                lines=self._lines,
                **self._arrived(order_id),
            )
        )
        self._activity("order_placed", order_id=order_id, total=self.value)

    def campaign(self) -> None:
        """What a campaign did after the first level: held out or written to; and whether the shopper bought."""
        level_ms = self._store.first_level_s * 1000
        left_at, due = self._now, self._now + level_ms
        episode_id = ids.episode(self._store.store_id, self._cart_id, self._opened_by)
        journey_id = ids.journey(self._store.campaign_id, episode_id)
        journey: dict[str, Any] = {
            **self._base(due),
            "journey_id": journey_id,
            "campaign_id": self._store.campaign_id,
            "cart_id": self._cart_id,
            "episode_id": episode_id,
            "identities": self._person.identities,
        }
        entry: dict[str, Any] = {"cause_id": ids.abandonment(episode_id, self._store.first_level_s), "level_seconds": self._store.first_level_s,
                 "value": self.value, "abandoned_at": due}  # fmt: skip
        held_out = self._random.random() < HOLDOUT_SHARE
        if held_out:
            self._add(
                HeldOut(id=ids.journey_fact(journey_id, "HeldOut"), holdout_share=HOLDOUT_SHARE, **journey, **entry)
            )
        else:
            self._add(JourneyEntered(id=ids.journey_fact(journey_id, "JourneyEntered"), **journey, **entry))
            self._write_to(journey, due)
        if self._random.random() < (BUYS_WHEN_HELD_OUT if held_out else BUYS_WHEN_WRITTEN_TO):
            self._now = left_at
            self.buy(after_ms=level_ms + self._random.randint(5 * MINUTE, 20 * 60 * MINUTE))
            if not held_out:
                ended = {**journey, "occurred_at": self._now}
                exited = ids.journey_fact(journey_id, "JourneyExited")
                self._add(JourneyExited(id=exited, reason="ordered", steps_sent=1, **ended))

    def end_import(self, now_ms: int) -> None:
        """Let the detector tell what silence has made due by now."""
        self._now = now_ms
        self._activity("import_ended")

    def _write_to(self, journey: dict[str, Any], due: int) -> None:
        message_id = ids.message(journey["journey_id"], 0, "email", 1)
        decided = ids.journey_fact(journey["journey_id"], "StepDecided", 0, 1)
        self._add(
            StepDecided(
                id=decided,
                step=0,
                attempt=1,
                channel="email",
                decision="send",
                message_id=message_id,
                due_at=due,
                **journey,
            )
        )
        fact = {
            **self._base(due), "message_id": message_id, "journey_id": journey["journey_id"], "campaign_id": self._store.campaign_id,
            "cart_id": self._cart_id, "episode_id": journey["episode_id"], "channel": "email", "address_hash": self._person.address_hash,
        }  # fmt: skip
        at = due + self._random.randint(1_000, 20_000)
        for kind, share, later in (
            (MessageSent, 1.0, 2_000),
            (MessageDelivered, 0.985, 30_000),
            (MessageOpened, 0.46, 240 * MINUTE),
            (MessageClicked, 0.35, 5 * MINUTE),
        ):
            if self._random.random() >= share:
                return
            at += self._random.randint(500, later)
            self._add(kind(**{**fact, "id": ids.message_fact(message_id, kind.__name__), "occurred_at": at}))

    def _activity(self, kind: str, **more: Any) -> None:
        self._count += 1
        source_event_id = f"{self._cart_id}:{self._count}"
        event = ids.source_event(self._store.store_id, "import", source_event_id)
        record = CartActivity(
            id=ids.record_of(event, "CartActivity"),
            kind=kind,
            cart_id=self._cart_id,
            config_version=self._store.version,
            identities=self._person.identities,
            currency=self._store.currency,
            locale=self._person.locale,
            country=self._person.country,
            time_zone=self._person.time_zone,
            device=self._random.choice(["desktop", "mobile"]),
            **{**self._arrived(source_event_id), **more},
        )
        if record.lines and not self._opened_by:
            self._opened_by, self._opened_at = record.id, self._now
        self._add(record)
        self._now += self._random.randint(2_000, MINUTE)

    def _add(self, record: Record) -> None:
        self.records.append(record)

    def _base(self, at: int) -> dict[str, Any]:
        return {
            "store_id": self._store.store_id,
            "occurred_at": at,
            "imported": True,
            "customer_id": self._person.customer_id,
        }

    def _arrived(self, source_event_id: str) -> dict[str, Any]:
        return {
            **self._base(self._now),
            "received_at": self._now,
            "source": "import",
            "source_event_id": source_event_id,
        }

    def _line(self, item: Item) -> CartLine:
        price = Money(minor=item.price, currency=self._store.currency)
        return CartLine(
            line_id=item.product_id, product_id=item.product_id, name=item.name, quantity=self._random.choice([1, 1, 2]),
            unit_price=price, category=item.category, brand=item.brand,
        )  # fmt: skip
