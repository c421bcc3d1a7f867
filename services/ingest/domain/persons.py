"""Who is one person, and which carts they have open: what the identity map knows and how it learns. Times in ms.

Customer ids, e-mail addresses and telephone numbers are strong: whoever names two of them is one person. Anonymous ids,
devices and the tokens of carts and checkouts are weak: they pass from hand to hand with the device, so a new login takes
them away from the former customer (a parting) rather than making one person of two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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

_STRENGTH = {"customer": 0, "email": 1, "phone": 2, "anonymous": 3, "device": 4, "checkout": 5, "cart": 6}
_WEAK = _STRENGTH["anonymous"]
_OF_ONE_CART = frozenset({"checkout", "cart"})


@dataclass(frozen=True, slots=True)
class OpenCart:
    """A cart that holds something, as far as is known: last touched, and the weak identities that touched it."""

    at: int
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Hashes of one person's identities with when they were last seen; the shop's ids of their logins; their open carts.

    `lent` are weak identities that belong to another customer in the facts, and at present serve this one.
    """

    name: str
    own: Mapping[str, int] = field(default_factory=dict)
    lent: Mapping[str, int] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)
    carts: Mapping[str, OpenCart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the map tells of an event: the shopper's open cart, all their identities, and the weak identities of another
    customer, for each of which the present login stands."""

    open_cart: str = ""
    identities: tuple[str, ...] = ()
    stand_ins: Mapping[str, tuple[Identity, Identity]] = field(default_factory=dict)


STRANGER = Standing()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an accepted event showed: identities together, and the cart that it touched or ended ("" for none)."""

    identities: tuple[Identity, ...]
    cart_id: str
    ends_cart: bool
    at: int


@dataclass(frozen=True, slots=True)
class Learned:
    """A person as they are after a sighting. `pointing`: identities that are theirs from now on; `merged`: the names of
    persons who turned out to be this one."""

    person: Person
    pointing: tuple[str, ...]
    merged: tuple[str, ...]


Known = Callable[[str], Person | None]
"""The person that an identity's hash stands for at present."""


def standing(known: Known, identities: Sequence[Identity]) -> Standing:
    """What the map tells of a shopper with these identities."""
    persons, stand_ins = _meet(known, identities)
    if not persons and not stand_ins:
        return STRANGER
    return Standing(_open_cart(persons, identities), _all_identities(persons, identities, stand_ins), stand_ins)


def learn(known: Known, sighting: Sighting) -> Learned | None:
    """The person after a sighting; None where it says nothing new."""
    identities = sighting.identities
    if not identities:
        return None
    persons, stand_ins = _meet(known, identities)
    base = max(persons, key=lambda one: (len(one.own), one.name)) if persons else _new(sighting)
    own, lent, logins = dict(base.own), dict(base.lent), dict(base.logins)
    carts = dict(base.carts)
    for other in persons:
        if other is not base:
            _join(own, other.own)
            _join(lent, other.lent)
            logins.update(other.logins)
            for cart_id, cart in other.carts.items():
                carts[cart_id] = _later(cart, carts.get(cart_id))
    pointing = []
    for one in identities:
        if one.hash in stand_ins:
            _see(lent, one.hash, sighting.at)
        else:
            _see(own, one.hash, sighting.at)
            if one.kind == "customer" and (one.key or one.hash not in logins):
                logins[one.hash] = one.key
        before = known(one.hash)
        if before is None or before.name != base.name:
            pointing.append(one.hash)
    _touch(carts, sighting)
    person = Person(base.name, _bounded(own), _newest(lent, own), _last(logins), _latest(carts, sighting.at))
    merged = tuple(other.name for other in persons if other is not base)
    if not pointing and not merged and person == base:
        return None
    return Learned(person, tuple(pointing), merged)


class Acquaintances:
    """Persons at hand, by identity; knows of sightings before they are written anywhere."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._newer: dict[str, Person] = {}

    def person(self, identity: str) -> Person | None:
        return self._newer.get(identity) or self._known(identity)

    def see(self, sighting: Sighting) -> Learned | None:
        learned = learn(self.person, sighting)
        if learned is not None:
            self._newer.update(dict.fromkeys(list(affected(learned, self.person)), learned.person))
        return learned


def affected(learned: Learned, known: Known) -> Iterator[str]:
    """The identities at hand that stand for the person after a sighting."""
    names = {learned.person.name, *learned.merged}
    for identity in (*learned.person.own, *learned.person.lent):
        before = known(identity)
        if identity in learned.pointing or (before is not None and before.name in names):
            yield identity


def _meet(known: Known, identities: Sequence[Identity]) -> tuple[list[Person], dict[str, tuple[Identity, Identity]]]:
    """The persons whom an event makes one, and which of its weak identities are another customer's."""
    persons: list[Person] = []
    foreign: list[Identity] = []
    logins = {one.hash: one.key for one in identities if one.kind == "customer"}
    for one in sorted(identities, key=_rank):
        person = known(one.hash)
        if person is None:
            continue
        if one.hash in person.lent:
            foreign.append(one)
        if any(person.name == other.name for other in persons):
            continue
        is_weak = _STRENGTH[one.kind] >= _WEAK
        if is_weak and logins and person.logins and logins.keys().isdisjoint(person.logins):
            foreign.append(one)
        else:
            persons.append(person)
            logins.update(person.logins)
    if not foreign:
        return persons, {}
    login = next((one for one in identities if one.kind == "customer"), None) or _last_login(logins)
    if login is None:
        return persons, {}
    own = {identity for person in persons for identity in person.own}
    return persons, {one.hash: (one, login) for one in foreign if one.hash not in own}


def _last_login(logins: Mapping[str, str]) -> Identity | None:
    return next((Identity("customer", hashed, key) for hashed, key in reversed(list(logins.items())) if key), None)


def _open_cart(persons: Sequence[Person], identities: Sequence[Identity]) -> str:
    """The cart of the event's own token or device before one of another device; then the one touched last."""
    tokens = {one.hash for one in identities if one.kind in _OF_ONE_CART}
    weak = {one.hash for one in identities if _STRENGTH[one.kind] >= _WEAK}
    found = [
        (not tokens.isdisjoint(cart.via), not weak.isdisjoint(cart.via), cart.at, cart_id)
        for person in persons
        for cart_id, cart in person.carts.items()
    ]
    return max(found)[3] if found else ""


def _all_identities(
    persons: Sequence[Person], identities: Sequence[Identity], stand_ins: Mapping[str, object]
) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for person in persons:
        _join(seen, person.own)
    for one in identities:
        if one.hash not in stand_ins:
            seen.setdefault(one.hash, 0)
    return tuple(_bounded(seen))


def _new(sighting: Sighting) -> Person:
    return Person(f"{min(sighting.identities, key=_rank).hash}@{sighting.at}")


def _touch(carts: dict[str, OpenCart], sighting: Sighting) -> None:
    cart_id = sighting.cart_id
    if not cart_id:
        return
    if sighting.ends_cart:
        carts.pop(cart_id, None)
        return
    via = tuple(one.hash for one in sighting.identities if _STRENGTH[one.kind] >= _WEAK)
    before = carts.get(cart_id)
    if before is None:
        carts[cart_id] = OpenCart(sighting.at, via)
        return
    is_last = all(one.at <= before.at for one in carts.values())
    at = before.at if is_last and sighting.at - before.at < CART_AGAIN_MS else max(before.at, sighting.at)
    newer = tuple(one for one in via if one not in before.via)
    if newer or at != before.at:
        carts[cart_id] = OpenCart(at, (*before.via, *newer)[-MOST_LENT:])


def _see(seen: dict[str, int], identity: str, at: int) -> None:
    before = seen.get(identity)
    if before is None or at - before >= SEEN_AGAIN_MS:
        seen[identity] = at


def _join(seen: dict[str, int], others: Mapping[str, int]) -> None:
    for identity, at in others.items():
        seen[identity] = max(at, seen.get(identity, 0))


def _later(one: OpenCart, other: OpenCart | None) -> OpenCart:
    if other is None:
        return one
    return OpenCart(max(one.at, other.at), tuple(dict.fromkeys((*one.via, *other.via)))[-MOST_LENT:])


def _bounded(own: dict[str, int]) -> dict[str, int]:
    if len(own) <= MOST_IDENTITIES:
        return own
    kept = sorted(own, key=lambda one: (_STRENGTH[kind_of(one)] >= _WEAK, -own[one], one))[:MOST_IDENTITIES]
    return {one: own[one] for one in kept}


def _newest(lent: dict[str, int], own: Mapping[str, int]) -> dict[str, int]:
    kept = {one: at for one, at in lent.items() if one not in own}
    if len(kept) <= MOST_LENT:
        return kept
    return {one: kept[one] for one in sorted(kept, key=lambda one: (-kept[one], one))[:MOST_LENT]}


def _last(logins: dict[str, str]) -> dict[str, str]:
    return dict(list(logins.items())[-MOST_LOGINS:])


def _latest(carts: dict[str, OpenCart], now: int) -> dict[str, OpenCart]:
    kept = {cart_id: cart for cart_id, cart in carts.items() if now - cart.at < KEPT_MS}
    if len(kept) <= MOST_CARTS:
        return kept
    return {one: kept[one] for one in sorted(kept, key=lambda one: (-kept[one].at, one))[:MOST_CARTS]}


def kind_of(identity: str) -> str:
    """The kind in an identity's hash: email in `email:v1:5f…`."""
    return identity.partition(":")[0]


def _rank(identity: Identity) -> int:
    return _STRENGTH[identity.kind]
