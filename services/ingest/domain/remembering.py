"""What is kept of a person: the strong before the weak, the late before the early, never too much. Times in ms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.ingest.domain.people import Identity

MOST_IDENTITIES = 32
"""Of one person; the weakest that was not seen for longest gives way."""
MOST_LENT = 8
MOST_CARTS = 8
MOST_LOGINS = 8
KEPT_MS = 30 * 86_400_000
SEEN_AGAIN_MS = 86_400_000
"""How old a word may grow before the same word is written anew."""
CART_AGAIN_MS = 3_600_000

STRENGTH = {"customer": 0, "email": 1, "phone": 2, "anonymous": 3, "device": 4, "checkout": 5, "cart": 6}
WEAK = STRENGTH["anonymous"]


@dataclass(frozen=True, slots=True)
class OpenCart:
    """A cart that holds something, as far as is known: last touched, and the weak identities that touched it."""

    at: int
    via: tuple[str, ...] = ()


class Sighting(NamedTuple):  # One an event: made in a third of a dataclass's time.
    """What an accepted event showed: identities together, and the cart that it touched or ended ("" for none)."""

    identities: tuple[Identity, ...]
    cart_id: str
    ends_cart: bool
    at: int


def touch(carts: dict[str, OpenCart], sighting: Sighting) -> None:
    """An order ends its cart; anything else is its latest touch, and by what."""
    cart_id = sighting.cart_id
    if not cart_id:
        return
    if sighting.ends_cart:
        carts.pop(cart_id, None)
        return
    via = tuple(one.hash for one in sighting.identities if STRENGTH[one.kind] >= WEAK)
    before = carts.get(cart_id)
    if before is None:
        carts[cart_id] = OpenCart(sighting.at, via)
        return
    is_last = all(one.at <= before.at for one in carts.values())
    at = before.at if is_last and sighting.at - before.at < CART_AGAIN_MS else max(before.at, sighting.at)
    newer = tuple(one for one in via if one not in before.via)
    if newer or at != before.at:
        carts[cart_id] = OpenCart(at, (*before.via, *newer)[-MOST_LENT:])


def see(seen: dict[str, int], identity: str, at: int) -> None:
    """Once a day is often enough."""
    before = seen.get(identity)
    if before is None or at - before >= SEEN_AGAIN_MS:
        seen[identity] = at


def join(seen: dict[str, int], others: Mapping[str, int]) -> None:
    for identity, at in others.items():
        seen[identity] = max(at, seen.get(identity, 0))


def later(one: OpenCart, other: OpenCart | None) -> OpenCart:
    """One cart of two who turned out to be one."""
    if other is None:
        return one
    return OpenCart(max(one.at, other.at), tuple(dict.fromkeys((*one.via, *other.via)))[-MOST_LENT:])


def bounded(own: dict[str, int]) -> dict[str, int]:
    if len(own) <= MOST_IDENTITIES:
        return own
    kept = sorted(own, key=lambda one: (STRENGTH[kind_of(one)] >= WEAK, -own[one], one))[:MOST_IDENTITIES]
    return {one: own[one] for one in kept}


def lent_lately(lent: dict[str, int], own: Mapping[str, int]) -> dict[str, int]:
    kept = {one: at for one, at in lent.items() if one not in own}
    if len(kept) <= MOST_LENT:
        return kept
    return {one: kept[one] for one in sorted(kept, key=lambda one: (-kept[one], one))[:MOST_LENT]}


def latest_logins(logins: dict[str, str]) -> dict[str, str]:
    return dict(list(logins.items())[-MOST_LOGINS:])


def open_lately(carts: dict[str, OpenCart], now: int) -> dict[str, OpenCart]:
    kept = {cart_id: cart for cart_id, cart in carts.items() if now - cart.at < KEPT_MS}
    if len(kept) <= MOST_CARTS:
        return kept
    return {one: kept[one] for one in sorted(kept, key=lambda one: (-kept[one].at, one))[:MOST_CARTS]}


def kind_of(identity: str) -> str:
    """The kind in an identity's hash: email in `email:v1:5f…`."""
    return identity.partition(":")[0]
