"""The short way from a plain cart event to its record's bytes: a shopper of one id, a cart with its id, lines.

JSON is read straight into the structs below. What does not fit them, or has more to it, is left to the payload's model and the
adapter. Where the short way gives a record, it is theirs: they say what the fields mean and what is wrong with them.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from services.ingest.adapters.native import KINDS, SOURCE
from services.ingest.adapters.seam import Arrival, event_id
from services.ingest.api.bodies import Items
from services.ingest.api.payloads import LARGEST_QUANTITY, LONGEST_ID, LONGEST_TEXT, MOST_LINES
from services.ingest.api.quick import Odd, time_of
from services.ingest.domain import marks, plain
from services.ingest.domain.clock import YEAR_MS, event_time
from services.ingest.domain.people import Identity, identity_of, shopper_key
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Translation
from trolleybus.avro import Names
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.contracts.money import LARGEST_MINOR, BadAmount, Money, from_decimal, is_currency
from trolleybus.envelope import Envelopes

_Id: TypeAlias = Annotated[str, Meta(max_length=LONGEST_ID)] | UnsetType | None
_Text: TypeAlias = Annotated[str, Meta(max_length=LONGEST_TEXT)] | UnsetType | None
_Address: TypeAlias = Annotated[str, Meta(max_length=plain.LONGEST_URL)] | UnsetType | None
_NO_PRICE = Money(), False


class PlainLine(Struct, forbid_unknown_fields=True, gc=False):
    """As the payload's Line."""

    product_id: Annotated[str, Meta(max_length=LONGEST_ID)]
    variant_id: _Id = UNSET
    line_id: _Id = UNSET
    name: _Text = UNSET
    quantity: Annotated[int, Meta(ge=0, le=LARGEST_QUANTITY)] | UnsetType | None = UNSET
    unit_price: str | int | float | UnsetType | None = UNSET
    url: _Address = UNSET
    image_url: _Address = UNSET
    category: _Text = UNSET
    brand: _Text = UNSET


class PlainCartEvent(Struct, forbid_unknown_fields=True, gc=False):
    """As the payload's CartEvent, without what makes it less plain: addresses of a person, consent, discounts."""

    event: Literal["product_viewed", "cart_updated", "item_added", "item_set", "cart_emptied", "checkout_step"]
    event_id: Annotated[str, Meta(max_length=LONGEST_ID)]
    cart_id: Annotated[str, Meta(max_length=LONGEST_ID)]
    occurred_at: str | UnsetType | None = UNSET
    customer_id: _Id = UNSET
    anonymous_id: _Id = UNSET
    session_id: _Id = UNSET
    device: _Text = UNSET
    lines: Annotated[list[PlainLine], Meta(max_length=MOST_LINES)] | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    step: _Id = UNSET
    product_id: _Id = UNSET
    cart_url: _Address = UNSET
    locale: _Text = UNSET
    time_zone: _Text = UNSET


class _Batch(Struct, forbid_unknown_fields=True, gc=False):
    """As bodies of many."""

    events: Annotated[list[PlainCartEvent], Meta(min_length=1)]
    sent_at: str | UnsetType | None = UNSET


_one = Decoder(PlainCartEvent).decode
_many = Decoder(_Batch).decode
_again = Encoder().encode
_BATCH_BEGINS = 64
"""So far into a batch its list has begun, a time of sending before it or not."""


def read(body: bytes) -> Items | None:
    """The body's events, if all are plain."""
    if b"\\" in body:
        return None  # A name or a text has more to it than meets the eye.
    try:
        if b'"events"' not in body[:_BATCH_BEGINS]:
            event = _one(body)
            return Items([event], "", None, is_batch=False) if _is_plain(body, event) else None
        batch = _many(body)
        if not _is_plain(body, batch):
            return None
        sent_at = time_of(batch.sent_at) if isinstance(batch.sent_at, str) else None
        return Items(batch.events, "/events", sent_at, is_batch=True)
    except (DecodeError, UnicodeDecodeError, Odd):
        return None


def _is_plain(body: bytes, found: Struct) -> bool:
    """Whether each name stands once, and each text is in its one form: printable, no space around it."""
    again = _again(found)
    # Of a name that stands twice the struct holds one, and less quotation marks are written than were read.
    if body.count(b'"') != again.count(b'"') or b'" ' in again or b' "' in again or b"\\" in again:
        return False
    return b"\x7f" not in again if again.isascii() else again.decode().isprintable()


LINE = (
    "line_id",
    "product_id",
    "variant_id",
    "name",
    "quantity",
    "unit_price",
    "url",
    "image_url",
    "category",
    "brand",
    "price_rounded",
)
_TOLD = (
    "id",
    "store_id",
    "occurred_at",
    "cart_id",
    "customer_id",
    "imported",
    "received_at",
    "source",
    "source_event_id",
    "config_version",
    "kind",
    "identities",
    "anonymous_id",
    "session_id",
    "device",
    "currency",
    "step",
    "product_id",
    "cart_url",
    "locale",
    "country",
    "time_zone",
)
ACTIVITY: Names = (*_TOLD, ("lines", LINE))
"""What a plain event's record has; all else of it is empty."""


class Sealer:
    """From plain events straight to the bytes of their records. `write` makes those of ACTIVITY's values; what is larger than
    `largest` bytes, or of the past, is odd."""

    def __init__(self, write: Callable[[tuple[Any, ...]], bytes], envelopes: Envelopes, largest: int) -> None:
        self._write = write
        self._seal = envelopes.sealed
        self._largest = largest

    def seal(self, event: PlainCartEvent, arrival: Arrival) -> Sealed:
        """Raises Odd."""
        named, identities, values = _values_of(event, arrival)
        record_id, store_id, occurred_at, cart_id, customer_id = values[:5]
        value = self._write(values)
        if len(value) > self._largest or arrival.imported:
            raise Odd
        outgoing = self._seal(CartActivity, record_id, store_id, occurred_at, f"{store_id}:{cart_id}".encode(), value)
        long_form = partial(cart_event, event, arrival)
        identity = identities[0].hash if identities else ""
        return Sealed(named, event.event, identities, identity, customer_id, cart_id, occurred_at, outgoing, long_form)


def cart_event_in(body: bytes, arrival: Arrival) -> Translation:
    """As cart_event, of one event's JSON."""
    return cart_event(_one(body), arrival)


def cart_event(event: PlainCartEvent, arrival: Arrival) -> Translation:
    """As the adapter's of the same name; raises Odd."""
    named, identities, values = _values_of(event, arrival)
    *told, lines = values
    activity = CartActivity(
        **dict(zip(_TOLD, told, strict=True)),
        lines=tuple([CartLine(**dict(zip(LINE, line, strict=True))) for line in lines]),
    )
    return Translation(event_id=named, kind=event.event, records=(activity,), identities=identities)


def _values_of(event: PlainCartEvent, arrival: Arrival) -> tuple[str, tuple[Identity, ...], tuple[Any, ...]]:
    """The event's id, its shopper, and the values of ACTIVITY."""
    own_id, cart_id, kind = event.event_id, event.cart_id, event.event
    store, agent = arrival.store, arrival.user_agent
    step, product_id = event.step or "", event.product_id or ""
    if not own_id or not cart_id or arrival.is_crowd or (agent and marks.of_agent(agent)):
        raise Odd
    if (kind == "checkout_step" and not step) or (kind == "product_viewed" and not product_id):
        raise Odd
    anonymous_id = event.anonymous_id or ""
    identities = _identities(event.customer_id or "", anonymous_id, arrival)
    currency = event.currency or store.currency
    if event.currency and not is_currency(event.currency):
        raise Odd
    lines = _lines(event, currency, arrival)
    occurred_at = received_at = arrival.received_at
    if event.occurred_at or event.occurred_at == "":
        occurred_at = event_time(time_of(event.occurred_at), arrival.sent_at, received_at, received_at - YEAR_MS)
    named = event_id(arrival, SOURCE, "carts", own_id)
    values = (
        ids.record_of(named, "CartActivity"),
        store.store_id,
        occurred_at,
        cart_id,
        shopper_key(identities, cart_id),
        arrival.imported,
        received_at,
        SOURCE,
        own_id,
        store.version,
        KINDS[kind],
        (identities[0].hash,) if identities else (),
        anonymous_id,
        event.session_id or "",
        event.device or "",
        currency,
        step,
        product_id,
        shop_address(event.cart_url, arrival.link_hosts) if event.cart_url else "",
        locale(event.locale) if event.locale else "",
        arrival.country,
        time_zone(event.time_zone) if event.time_zone else "",
        lines,
    )
    return named, identities, values


def _identities(customer_id: str, anonymous_id: str, arrival: Arrival) -> tuple[Identity, ...]:
    if customer_id and anonymous_id:
        raise Odd  # Which says that they are one person.
    if customer_id:
        return shopper(arrival.hasher, arrival.store.store_id, "customer", customer_id)
    if anonymous_id:
        return shopper(arrival.hasher, arrival.store.store_id, "anonymous", anonymous_id)
    return ()


def shopper(hasher: IdentityHasher, store_id: str, kind: str, value: str) -> tuple[Identity, ...]:
    """The identities of a shopper who is known by one id."""
    return (identity_of(store_id, kind, value, hasher),)


def _lines(event: PlainCartEvent, currency: str, arrival: Arrival) -> tuple[tuple[Any, ...], ...]:
    given, kind = event.lines, event.event
    if not given:
        if kind in {"item_added", "item_set"} or (kind == "cart_updated" and given != []):
            raise Odd
        return ()
    return tuple([_line(one, kind, currency, arrival) for one in given])


def _line(line: PlainLine, kind: str, currency: str, arrival: Arrival) -> tuple[Any, ...]:
    """The values of LINE."""
    product, variant = line.product_id, line.variant_id or ""
    quantity = line.quantity if type(line.quantity) is int else 1
    price, was_rounded = _NO_PRICE
    if type(line.unit_price) is not UnsetType and line.unit_price is not None:
        price, was_rounded = priced(line.unit_price, currency)
    if not product or price.minor * quantity > LARGEST_MINOR or (not quantity and kind == "item_added"):
        raise Odd
    return (
        line.line_id or (f"{product}:{variant}" if variant else product),
        product,
        variant,
        line.name or "",
        quantity,
        price,
        shop_address(line.url, arrival.link_hosts) if line.url else "",
        address(line.image_url) if line.image_url else "",
        line.category or "",
        line.brand or "",
        was_rounded,
    )


def priced(value: str | int | float, currency: str) -> tuple[Money, bool]:
    """A price in major units as Money, and whether it was rounded; raises Odd."""
    try:
        return _money(value, currency)
    except (plain.BadValue, BadAmount):
        raise Odd from None


@lru_cache(maxsize=8192, typed=True)  # A shop has few prices.
def _money(value: str | int | float, currency: str) -> tuple[Money, bool]:
    return from_decimal(plain.amount(value), currency)


def _told(read: Callable[..., str], *given: object) -> str:
    try:
        return read(*given)
    except plain.BadValue:
        raise Odd from None


# Nor many pictures, pages, languages. What is refused is odd.
address = lru_cache(maxsize=8192)(partial(_told, plain.web_address))
shop_address = lru_cache(maxsize=8192)(partial(_told, plain.shop_address))
locale = lru_cache(maxsize=1024)(partial(_told, plain.locale))
time_zone = lru_cache(maxsize=1024)(partial(_told, plain.time_zone))
