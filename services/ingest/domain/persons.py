"""Who is one person, and which carts they have open: what the identity map knows and how it learns. Times in ms.

Customer ids, e-mail addresses and telephone numbers are strong: whoever names two of them is one person. Anonymous ids,
devices and the tokens of carts and checkouts are weak: they pass from hand to hand with the device, so a new login takes
them away from the former customer (a parting) rather than making one person of two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.ingest.domain.people import Identity
from services.ingest.domain.remembering import (
    CART_AGAIN_MS,
    SEEN_AGAIN_MS,
    STRENGTH,
    WEAK,
    OpenCart,
    Sighting,
    bounded,
    join,
    later,
    latest_logins,
    lent_lately,
    open_lately,
    see,
    touch,
)

_OF_ONE_CART = frozenset({"checkout", "cart"})


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
    if not identities or _is_nothing_new(known, sighting):
        return None
    persons, stand_ins = _meet(known, identities)
    base = max(persons, key=lambda one: (len(one.own), one.name)) if persons else _new(sighting)
    own, lent, logins = dict(base.own), dict(base.lent), dict(base.logins)
    carts = dict(base.carts)
    for other in persons:
        if other is not base:
            join(own, other.own)
            join(lent, other.lent)
            logins.update(other.logins)
            for cart_id, cart in other.carts.items():
                carts[cart_id] = later(cart, carts.get(cart_id))
    pointing = []
    for one in identities:
        if one.hash in stand_ins:
            see(lent, one.hash, sighting.at)
        else:
            see(own, one.hash, sighting.at)
            if one.kind == "customer" and (one.key or one.hash not in logins):
                logins[one.hash] = one.key
        before = known(one.hash)
        if before is None or before.name != base.name:
            pointing.append(one.hash)
    touch(carts, sighting)
    person = Person(
        base.name, bounded(own), lent_lately(lent, own), latest_logins(logins), open_lately(carts, sighting.at)
    )
    merged = tuple(other.name for other in persons if other is not base)
    if not pointing and not merged and person == base:
        return None
    return Learned(person, tuple(pointing), merged)


def owner(known: Known, identities: Sequence[Identity]) -> Person | None:
    """The one person whose all these identities are, none of them lent: then nothing stands for anything else."""
    person = known(identities[0].hash)
    if person is None:
        return None
    for one in identities:
        if one.hash not in person.own or known(one.hash) is not person:
            return None
    return person


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


def _is_nothing_new(known: Known, sighting: Sighting) -> bool:
    """Most events: the same person's, in the same cart, a moment later. A short way to what `learn` would find."""
    person = owner(known, sighting.identities)
    return person is not None and sighting.at < nothing_new_until(person, sighting)


def nothing_new_until(person: Person, sighting: Sighting) -> int:
    """The time before which such a sighting says nothing new of the person, whose identities all are; 0 where it does."""
    until = [person.own[one.hash] + SEEN_AGAIN_MS for one in sighting.identities]
    for one in sighting.identities:
        if one.kind == "customer" and one.key and person.logins.get(one.hash) != one.key:
            return 0
    cart_id = sighting.cart_id
    if not cart_id or sighting.ends_cart:
        return 0 if cart_id in person.carts else min(until)
    cart = person.carts.get(cart_id)
    if cart is None or not _is_in_hand(cart, person, sighting.identities):
        return 0
    return min(*until, cart.at + CART_AGAIN_MS)


def _is_in_hand(cart: OpenCart, person: Person, identities: Sequence[Identity]) -> bool:
    """Whether it is the person's latest, and they touch it in no new way."""
    for one in identities:
        if STRENGTH[one.kind] >= WEAK and one.hash not in cart.via:
            return False
    return len(person.carts) == 1 or all(other.at <= cart.at for other in person.carts.values())


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
        is_weak = STRENGTH[one.kind] >= WEAK
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
    weak = {one.hash for one in identities if STRENGTH[one.kind] >= WEAK}
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
        join(seen, person.own)
    for one in identities:
        if one.hash not in stand_ins:
            seen.setdefault(one.hash, 0)
    return tuple(bounded(seen))


def _new(sighting: Sighting) -> Person:
    return Person(f"{min(sighting.identities, key=_rank).hash}@{sighting.at}")


def _rank(identity: Identity) -> int:
    return STRENGTH[identity.kind]
