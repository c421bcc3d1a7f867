"""What shoppers do, and how often: the published mix, and the ways in which it is spread over carts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from random import Random

Event = tuple[str, int]
"""Kind of activity and the cart's number."""

SHOPPING: Mapping[str, float] = {
    "product_viewed": 1 / 3,
    "lines_added": 4 / 15,
    "lines_set": 1 / 15,
    "checkout_step": 3 / 20,
    "snapshot": 3 / 20,
    "order_placed": 1 / 30,
}
BROWSING: Mapping[str, float] = {**SHOPPING, "snapshot": 3 / 20 + 1 / 30, "order_placed": 0.0}
"""The same without orders: every cart stays open."""

RETURNS = 0.03
OF_A_VISIT = 10
"""Events, at the mean."""
AT_ONCE = 10_000
"""Carts that shoppers are at, however many are open: what these share of the writing is the same then."""
BLOCK = 10_000


def kinds(random: Random, mix: Mapping[str, float]) -> Iterator[str]:
    """Kinds of activity without end."""
    names, cumulative = list(mix), list(accumulate(mix.values()))
    while True:
        yield from random.choices(names, cum_weights=cumulative, k=BLOCK)


def visits(random: Random, events: int, carts: int) -> Iterator[Event]:
    """Each cart lives for one visit, a fifth of the log long, and is left; a few shoppers come back to a cart they had left.

    An order ends its cart.
    """
    at_once = max(1, carts // 5)
    bought: set[int] = set()
    for number, kind in zip(range(events), kinds(random, SHOPPING), strict=False):
        oldest = number * (carts - at_once) // events
        cart = oldest + int(random.random() * at_once)
        if oldest and random.random() < RETURNS:
            cart = int(random.random() * oldest)
        while cart in bought:
            cart = oldest + int(random.random() * at_once)
        if kind == "order_placed":
            bought.add(cart)
        yield kind, cart


def opening(carts: int) -> Iterator[Event]:
    """Every cart holds something."""
    return (("snapshot", cart) for cart in range(carts))


def browsed(random: Random, events: int, carts: int) -> Iterator[Event]:
    """Visits to carts that are open already, and a few shoppers who come back to any other; all stay open."""
    at_once = min(carts, AT_ONCE)
    for number, kind in zip(range(events), kinds(random, BROWSING), strict=False):
        cart = (number // OF_A_VISIT + int(random.random() * at_once)) % carts
        if random.random() < RETURNS:
            cart = int(random.random() * carts)
        yield kind, cart


def spread(random: Random, events: int, carts: int) -> Iterator[Event]:
    """Activity uniformly over all carts, which stay open: the worst case, no shop's."""
    for _, kind in zip(range(events), kinds(random, BROWSING), strict=False):
        yield kind, int(random.random() * carts)
