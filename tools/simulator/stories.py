"""What each shopper does, when, and how it ends: planned from a seed before anything is sent.

A story is a list of requests to the gateway with the seconds between them. Times are relative, so that a slow machine
stretches a story without changing it; what was done is what the player writes down (truth.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tools.simulator.catalogue import Item

HABITS = {
    "buyer": 22,  # Browses, fills, checks out, buys.
    "leaver": 30,  # Fills a cart, says who they are, leaves for good.
    "returner": 20,  # As the leaver, but reads the reminder, follows it and buys.
    "browser": 5,  # Looks at products and puts nothing in.
    "nameless": 6,  # Leaves a cart and is not known.
    "two_devices": 5,  # Starts on the phone, goes on at the desk, buys.
    "guest": 5,  # Checks out as a guest; the order names neither cart nor customer.
    "emptier": 4,  # Takes everything out again.
    "refuser": 2,  # Leaves a cart and has said no to mail.
    "bot": 1,  # Crawls and fills carts.
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One request: path below the gateway and JSON body (times are put in when it is sent)."""

    path: str
    body: dict[str, Any]
    after: float = 0.5  # Seconds since the action before.
    late: float = 0.0  # Seconds that it is held back after it happened.
    times: int = 1  # How often it is sent, under one event id.
    wait_for_mail: bool = False  # Done only when a reminder has come, by way of its link.


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One shopper's doing with one cart."""

    habit: str
    shopper: str
    cart_id: str
    email: str
    user_agent: str
    actions: tuple[Action, ...] = field(repr=False)


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CRAWLER = "ExampleBot/2.1 (+https://crawler.example/bot.html)"


def stories(seed: int, items: list[Item], currency: str, habits: dict[str, int] | None = None) -> Iterator[Story]:
    """Shoppers without end, the same for the same seed."""
    weights = habits or HABITS
    random = Random(seed)
    number = 0
    while True:
        number += 1
        habit = random.choices(list(weights), list(weights.values()))[0]
        yield _Teller(Random(f"{seed}:{number}"), items, currency, f"{seed}-{number:05}").tell(habit)


class _Teller:
    def __init__(self, random: Random, items: list[Item], currency: str, name: str) -> None:
        self.random = random
        self.items = items
        self.currency = currency
        self.name = name
        self.cart_id = f"cart-{name}"
        self.email = f"shopper-{name}@example.com"
        self.actions: list[Action] = []
        self.lines: dict[str, tuple[Item, int]] = {}
        self.who: dict[str, Any] = {"anonymous_id": f"anon-{name}"}
        self.counter = 0

    def tell(self, habit: str) -> Story:
        getattr(self, f"_{habit}")()
        return Story(
            habit=habit,
            shopper=self.name,
            cart_id=self.cart_id,
            email=self.email,
            user_agent=CRAWLER if habit == "bot" else BROWSER,
            actions=tuple(self.actions),
        )

    def _buyer(self) -> None:
        self._browse()
        self._fill()
        self._say_who(consent=self.random.random() < 0.7)
        self._check_out()
        self._buy()

    def _leaver(self) -> None:
        self._browse()
        self._fill()
        self._say_who(consent=True)
        self._fill()
        if self.random.random() < 0.4:
            self._check_out()

    def _returner(self) -> None:
        self._leaver()
        self._view(wait_for_mail=True)
        self._check_out()
        self._buy()

    def _browser(self) -> None:
        for _ in range(3):
            self._browse()

    def _nameless(self) -> None:
        self._browse()
        self._fill()

    def _two_devices(self) -> None:
        self._fill(device="mobile")
        self._say_who(consent=True)
        self.who["anonymous_id"] = f"anon-{self.name}-desk"
        self._fill(device="desktop")
        self._check_out()
        self._buy()

    def _guest(self) -> None:
        self._fill()
        self._say_who(consent=True, guest=True)
        self._check_out()
        self._buy(names_cart=False)

    def _emptier(self) -> None:
        self._fill()
        self._say_who(consent=True)
        self._track("cart_emptied")
        self.lines.clear()

    def _refuser(self) -> None:
        self._fill()
        self._say_who(consent=False, refusal=True)

    def _bot(self) -> None:
        for _ in range(4):
            self._browse()
        self._fill()

    def _browse(self) -> None:
        for _ in range(self.random.randint(1, 2)):
            self._view()

    def _view(self, *, wait_for_mail: bool = False) -> None:
        self._track("product_viewed", wait_for_mail=wait_for_mail, product_id=self.random.choice(self.items).product_id)

    def _fill(self, device: str = "desktop") -> None:
        for _ in range(self.random.randint(1, 3)):
            item, pieces = self.random.choice(self.items), self.random.choice([1, 1, 1, 2, 3])
            before = self.lines.get(item.product_id, (item, 0))[1]
            self.lines[item.product_id] = (item, before + pieces)
            if self.random.random() < 0.5:
                self._track("item_added", lines=[self._line(item, pieces)], device=device)
            else:
                self._track("cart_updated", lines=self._all_lines(), device=device)

    def _say_who(self, *, consent: bool, guest: bool = False, refusal: bool = False) -> None:
        if not guest:
            self.who["customer_id"] = f"C{self.name}"
        self._track("contact_captured", email=self.email)
        body: dict[str, Any] = {**self.who, "email": self.email, "first_name": "Shopper"}
        if consent or refusal:
            body["consent"] = [
                {
                    "channel": "email",
                    "state": "revoked" if refusal else "granted",
                    "by": "person",
                    "evidence": "newsletter box at checkout",
                }
            ]
        self._add("/api/v1/customers", body)

    def _check_out(self) -> None:
        for step in self.random.sample(["contact", "shipping", "payment"], self.random.randint(1, 3)):
            self._track("checkout_step", step=step)

    def _buy(self, *, names_cart: bool = True) -> None:
        total = sum(item.price * pieces for item, pieces in self.lines.values())
        body: dict[str, Any] = {
            "order_id": f"O-{self.name}",
            "email": self.email,
            "total": self._amount(total),
            "currency": self.currency,
            "lines": self._all_lines(),
        }
        if names_cart:
            body |= {**self.who, "cart_id": self.cart_id}
        self._add("/api/v1/orders", body)

    def _track(self, event: str, *, wait_for_mail: bool = False, **more: Any) -> None:
        body = {"event": event, "cart_id": self.cart_id, "session_id": f"session-{self.name}", **self.who, **more}
        self._add("/api/v1/carts/track", body, wait_for_mail=wait_for_mail)

    def _add(self, path: str, body: dict[str, Any], *, wait_for_mail: bool = False) -> None:
        self.counter += 1
        chance = self.random.random()
        self.actions.append(
            Action(
                path=path,
                body={"event_id": f"{self.name}-{self.counter}", **body},
                after=round(self.random.uniform(0.1, 0.7), 2),
                late=round(self.random.uniform(0.5, 2.0), 2) if chance < 0.04 else 0.0,
                times=2 if 0.04 <= chance < 0.09 else 1,
                wait_for_mail=wait_for_mail,
            )
        )

    def _all_lines(self) -> list[dict[str, Any]]:
        return [self._line(item, pieces) for item, pieces in self.lines.values()]

    def _line(self, item: Item, pieces: int) -> dict[str, Any]:
        return {
            "product_id": item.product_id,
            "name": item.name,
            "quantity": pieces,
            "unit_price": self._amount(item.price),
            "category": item.category,
            "brand": item.brand,
        }

    @staticmethod
    def _amount(minor: int) -> str:
        return f"{minor // 100}.{minor % 100:02}"
