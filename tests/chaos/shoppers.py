"""Seeded shoppers of a few stores: what they do with their carts, record by record, in every way that detection has to stand."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

Values = dict[str, Any]

CURRENCY = "EUR"
LINES = ("shoes", "shirt", "socks", "hat", "scarf", "gloves")
HOUR = 3_600_000
KINDS = {
    "product_viewed": 30,
    "lines_added": 24,
    "lines_set": 8,
    "lines_removed": 6,
    "snapshot": 11,
    "cart_emptied": 4,
    "checkout_step": 10,
    "contact_captured": 5,
    "order_placed": 2,
}
WITH_LINES = ("lines_added", "lines_set", "lines_removed", "snapshot")
# Milliseconds between two acts of a shopper, by weight: among them pauses that pass one level, or all.
PAUSES = {(200, 2_500): 68, (2_500, 11_000): 22, (11_000, 30_000): 10}
MEAN_PAUSE_S = sum(weight * (low + high) / 2 for (low, high), weight in PAUSES.items()) / sum(PAUSES.values()) / 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """One version of a store's setting; times in seconds."""

    store_id: str
    version: int
    levels: tuple[int, ...]
    expiry: int


@dataclass(frozen=True, slots=True)
class Told:
    """A record to be sent; values None: bytes that are no record."""

    key: str
    values: Values | None


@dataclass(slots=True)
class Cart:
    store_id: str
    cart_id: str
    left: int
    ordered: bool = False
    last_at: int = 0
    told: deque[Values] = field(default_factory=lambda: deque(maxlen=5))

    @property
    def key(self) -> str:
        return f"{self.store_id}:{self.cart_id}"


class Shoppers:
    """So many at a time; who leaves for good is followed by another. The levels and expiries that a store goes through are given.

    All times are milliseconds; `now` is the time of the sending.
    """

    def __init__(self, random: Random, stores: dict[str, list[tuple[tuple[int, ...], int]]], at_a_time: int) -> None:
        self._random = random
        self._choices = stores
        self._settings = {store_id: Setting(store_id, 1, *choices[0]) for store_id, choices in stores.items()}
        self._numbers = itertools.count()
        self._at_a_time = at_a_time
        self._waiting: list[tuple[int, int, Cart]] = []

    def settings(self) -> list[Setting]:
        """Those in force."""
        return list(self._settings.values())

    def change_setting(self) -> Setting:
        """Another version for one of the stores."""
        before = self._random.choice(self.settings())
        levels, expiry = self._random.choice(self._choices[before.store_id])
        after = Setting(before.store_id, before.version + 1, levels, expiry)
        self._settings[before.store_id] = after
        return after

    def begin(self, now: int) -> None:
        """The first shoppers, spread over some seconds."""
        for _ in range(self._at_a_time):
            self._wait(self._new_cart(), now + self._random.randrange(round(MEAN_PAUSE_S * 1000)))

    def due(self, now: int, limit: int, silent_until: Callable[[str], int]) -> Iterator[Told]:
        """What the shoppers tell by now, so many at most; those whose key is to be silent wait until then."""
        for _ in range(limit):
            if not self._waiting or self._waiting[0][0] > now:
                return
            _, _, cart = heapq.heappop(self._waiting)
            if (until := silent_until(cart.key)) > now:
                self._wait(cart, until + self._random.randrange(2_000))
                continue
            yield from self._act(cart, now)
            cart.left -= 1
            if cart.left > 0:
                ((low, high),) = self._random.choices(list(PAUSES), list(PAUSES.values()))
                self._wait(cart, now + self._random.randrange(low, high))
            else:
                self._wait(self._new_cart(), now + self._random.randrange(3_000))

    def history(self, now: int, carts: int) -> Iterator[Told]:
        """An import: carts of the last days in the order of their arrival, then the end of each. Some of their owners come back."""
        random = self._random
        told: list[tuple[int, str, Values]] = []
        imported = []
        for _ in range(carts):
            cart = self._new_cart("old")
            imported.append(cart)
            at = now - random.randrange(2 * HOUR, 240 * HOUR)
            for _ in range(random.randrange(1, 8)):
                kind = random.choice(
                    ("lines_added", "lines_added", "snapshot", "product_viewed", "order_placed", "cart_emptied")
                )
                values = {**self._record(cart, kind, at), "imported": True, "received_at": at}
                told.append((at, cart.key, values))
                at = min(at + random.choice((1_000, 60_000, HOUR, 30 * HOUR)), now)
        told.sort(key=lambda one: one[0])
        for _, key, values in told:
            yield Told(key, values)
        for cart in imported:
            ended = {**self._record(cart, "import_ended", now), "imported": True, "received_at": now}
            yield Told(cart.key, ended)
            if random.random() < 0.3:
                self._wait(cart, now + random.randrange(500, 20_000))

    def _new_cart(self, prefix: str = "cart") -> Cart:
        random = self._random
        left = 150 if random.random() < 0.01 else 1 + min(round(random.expovariate(1 / 18)), 90)
        return Cart(random.choice(list(self._settings)), f"{prefix}-{next(self._numbers)}", left)

    def _wait(self, cart: Cart, until: int) -> None:
        heapq.heappush(self._waiting, (until, next(self._numbers), cart))

    def _act(self, cart: Cart, now: int) -> Iterator[Told]:
        random = self._random
        chance = random.random()
        if chance < 0.0004:
            yield Told(cart.key, None)
        elif chance < 0.03 and cart.told:
            yield Told(cart.key, random.choice(cart.told))
            return
        elif chance < 0.04:
            yield Told(f"{cart.store_id}:", self._record(Cart(cart.store_id, "", 1), "product_viewed", now))
            return
        (kind,) = random.choices(list(KINDS), list(KINDS.values()))
        values = self._record(cart, kind, self._event_time(cart, kind, now))
        if kind == "order_placed":
            cart.left = min(cart.left, 3)
        cart.told.append(values)
        yield Told(cart.key, values)
        if chance > 0.985:
            yield Told(cart.key, values)
        elif kind == "order_placed" and chance > 0.8:  # Another source tells of the same order.
            yield Told(cart.key, {**values, "id": self._id(), "source": "webhooks"})

    def _event_time(self, cart: Cart, kind: str, now: int) -> int:
        """Mostly now; late, ahead, equal to the last one; an order closes its cart up to five minutes after it."""
        random = self._random
        chance = random.random()
        if kind == "order_placed" and chance < 0.5:
            at = now - 300_000 + random.randrange(-25_000, 10_000)
        elif chance < 0.8:
            at = now
        elif chance < 0.88:
            at = now - random.randrange(100, 6_000)
        elif chance < 0.9:
            at = now - random.randrange(6_000, 40_000)
        elif chance < 0.91:
            at = now + random.randrange(5_000)
        else:
            at = cart.last_at or now
        cart.last_at = at
        return at

    def _record(self, cart: Cart, kind: str, at: int) -> Values:
        random = self._random
        version = self._settings[cart.store_id].version
        values: Values = {
            "id": self._id(),
            "store_id": cart.store_id,
            "cart_id": cart.cart_id,
            "occurred_at": at,
            "received_at": at,
            "source": "native",
            "kind": kind,
            "customer_id": f"shopper-{cart.cart_id}",
            "currency": CURRENCY,
            # A gateway may not know the newest version yet.
            "config_version": version - 1 if version > 1 and random.random() < 0.05 else version,
        }
        if random.random() < 0.01:
            values["marks"] = [random.choice(("bot", "incomplete"))]
        if kind in WITH_LINES:
            values["lines"] = self._lines(kind)
        elif kind == "order_placed":
            values["order_id"] = f"order-{random.randrange(10**9)}"
            values["total"] = {"minor": 4_200, "currency": CURRENCY}
        elif kind == "checkout_step":
            values["step"] = random.choice(("started", "contact", "shipping", "payment"))
        elif kind == "contact_captured":
            values["email"] = f"{cart.cart_id}@example.com"
        return values

    def _id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def _lines(self, kind: str) -> list[Values]:
        random = self._random
        return [
            {
                "line_id": line,
                "product_id": line,
                "quantity": -1 if kind == "lines_added" and random.random() < 0.15 else random.randint(1, 3),
                "unit_price": {"minor": random.randrange(500, 5_000), "currency": CURRENCY},
            }
            for line in random.sample(LINES, random.choice((1, 1, 1, 2, 3)))
        ]
