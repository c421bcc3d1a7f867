"""The part that every adapter shares: who and when, what is wrong, and the records about the shopper."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from decimal import Decimal
from functools import lru_cache
from typing import TypedDict

from services.ingest.adapters.seam import Arrival, Refused, event_id
from services.ingest.domain import marks, plain
from services.ingest.domain.people import Identity, Person, identities_of, shopper_key
from services.ingest.domain.translation import Canonical, Flaw, Translation
from trolleybus.contracts import ids
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.identity import BadIdentity, normalise_email, normalise_phone
from trolleybus.contracts.money import BadAmount, Money, from_decimal

REPEATABLE = Flaw(
    "/event_id",
    "send event_id, occurred_at or an Idempotency-Key header: without one, a repeat cannot be told from a second event",
)


_money = lru_cache(maxsize=8192)(from_decimal)  # A shop has few prices.
_NO_AMOUNT = Money()


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What an event says of itself and its shopper, as the source wrote it; "" where absent."""

    channel: str  # carts, orders, customers: what the source's own ids are unique within.
    own_id: str = ""
    occurred_at: int | None = None
    sent_at: int | None = None
    customer_id: str = ""
    anonymous_id: str = ""
    email: str = ""
    phone: str = ""
    locale: str = ""
    country: str = ""
    time_zone: str = ""
    cart_id: str = ""
    tokens: tuple[tuple[str, str], ...] = ()  # Kinds and values of further identities: cart, checkout, device.
    places: Mapping[str, str] = field(default_factory=dict)  # JSON pointers of fields that stand elsewhere.

    def place(self, name: str) -> str:
        """The JSON pointer to one of these fields in the event."""
        return self.places.get(name, f"/{name}")


class Origin(TypedDict):
    """Where a record comes from: the fields of every record of the gateway."""

    id: str
    store_id: str
    occurred_at: int
    imported: bool
    received_at: int
    source: str
    source_event_id: str


class Stamp(Origin):
    """The same, and whom the record is about."""

    customer_id: str
    identities: tuple[str, ...]


class Place(TypedDict):
    """Where and in what language the person is."""

    locale: str
    country: str
    time_zone: str


class Draft:
    """One event on its way to records. Mistakes are collected; `refuse_flawed` ends it if there are any."""

    def __init__(self, source: str, named: Named, arrival: Arrival) -> None:
        self._source = source
        self._named = named
        self.arrival = arrival
        self.flaws: list[Flaw] = []
        self.left_out: list[Flaw] = []
        self.sent_at = named.sent_at if named.sent_at is not None else arrival.sent_at
        self.event_id = event_id(arrival, source, named.channel, named.own_id)
        self.source_event_id = named.own_id or self.event_id
        store = arrival.store
        country = self._told("country", named.country, plain.country)
        self.place = Place(
            locale=self._told("locale", named.locale, plain.locale),
            country=country or arrival.country,
            time_zone=self._told("time_zone", named.time_zone, plain.time_zone),
        )
        self.country = country or store.country
        self.email = self._told("email", named.email, normalise_email)
        self.phone = self._told("phone", named.phone, self._phone)
        person = Person(
            store_id=store.store_id,
            customer_id=named.customer_id,
            anonymous_id=named.anonymous_id,
            email=self.email,
            phone=self.phone,
            tokens=named.tokens,
        )
        self.identities: tuple[Identity, ...] = identities_of(person, arrival.hasher)
        self.key = shopper_key(self.identities, named.cart_id)

    def soft(self, field: str, text: str, read: Callable[[str], str]) -> str:
        """A value that the event can do without: what cannot be read is left out, and said to be."""
        if not text.strip():
            return ""
        try:
            return read(text)
        except (BadIdentity, plain.BadValue) as error:
            self.left_out.append(Flaw(field, str(error)))
            return ""

    def _told(self, name: str, text: str, read: Callable[[str], str]) -> str:
        return self.soft(self._named.place(name), text, read) if text else ""

    def _phone(self, text: str) -> str:
        return normalise_phone(text, self.country)

    def marks(self, user_agent: str) -> tuple[str, ...]:
        """By the shopper's agent as the event tells it, else as their browser did; the store may want none."""
        agent = user_agent or self.arrival.user_agent
        found = marks.of_agent(agent) if agent else ()
        return self.wanted_marks(*(found or ((marks.BOT,) if self.arrival.is_crowd else ())))

    def wanted_marks(self, *found: str) -> tuple[str, ...]:
        unmarked = self.arrival.store.unmarked
        return tuple(mark for mark in found if mark not in unmarked) if unmarked else found

    def shop_address(self, text: str) -> str:
        """A link that will stand in messages: from a public key, on the shop's own hosts only."""
        return plain.shop_address(text, self.arrival.link_hosts)

    def require(self, fulfilled: object, field: str, detail: str) -> None:
        """A mistake, unless fulfilled."""
        if not fulfilled:
            self.flaws.append(Flaw(field, detail))

    def require_repeatable(self) -> None:
        """Two like events must be told from one that was sent twice."""
        if not (self._named.own_id or self._named.occurred_at is not None or self.arrival.fallback_id):
            self.flaws.append(REPEATABLE)

    def refuse_flawed(self) -> None:
        if self.flaws:
            raise Refused(*self.flaws)

    def currency(self, given: str) -> str:
        return given or self.arrival.store.currency

    def money(self, field: str, amount: Decimal | None, currency: str) -> Money:
        return self.rounded(field, amount, currency)[0]

    def rounded(self, field: str, amount: Decimal | None, currency: str) -> tuple[Money, bool]:
        """The amount in minor units, and whether it was finer than they are."""
        if amount is None:
            return _NO_AMOUNT, False
        try:
            return _money(amount, currency)
        except BadAmount as error:
            self.flaws.append(Flaw(field, str(error)))
            return _NO_AMOUNT, False

    def origin(self, record: str, occurred_at: int, ordinal: int | str = 0) -> Origin:
        return Origin(
            id=ids.record_of(self.event_id, record, ordinal),
            store_id=self.arrival.store.store_id,
            occurred_at=occurred_at,
            imported=self.arrival.imported,
            received_at=self.arrival.received_at,
            source=self._source,
            source_event_id=self.source_event_id,
        )

    def stamp(self, record: str, occurred_at: int, ordinal: int | str = 0) -> Stamp:
        return Stamp(
            **self.origin(record, occurred_at, ordinal),
            customer_id=self.key,
            identities=tuple([identity.hash for identity in self.identities]),
        )

    def person_records(self, occurred_at: int, reason: str) -> Sequence[Canonical]:
        """What an event about something else tells of its shopper, where that is more than one id."""
        if not (self.email or self.phone or len(self.identities) > 1):
            return ()
        updated = CustomerUpdated(
            **self.stamp("CustomerUpdated", occurred_at),
            anonymous_id=self._named.anonymous_id,
            email=self.email,
            phone=self.phone,
            **self.place,
        )
        return (updated, *self.links(occurred_at, reason))

    def links(self, occurred_at: int, reason: str) -> Sequence[IdentitiesLinked]:
        """One copy under the key of each identity, so that whoever reads by one learns of the others."""
        if len(self.identities) < 2:
            return ()
        seen: list[str] = []
        linked = []
        for one in self.identities:
            ordinal = one.kind if one.kind not in seen else f"{one.kind}:{seen.count(one.kind)}"
            seen.append(one.kind)
            stamp = self.stamp("IdentitiesLinked", occurred_at, ordinal)
            linked.append(replace(IdentitiesLinked(**stamp, reason=reason), customer_id=one.key))
        return tuple(linked)

    def translation(self, kind: str, records: Iterable[Canonical], own_cart: str = "") -> Translation:
        return Translation(
            event_id=self.event_id,
            kind=kind,
            records=tuple(records),
            identities=self.identities,
            left_out=tuple(self.left_out),
            own_cart=own_cart,
        )
