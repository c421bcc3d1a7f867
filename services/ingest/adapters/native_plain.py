"""The short way from a plain cart event to its record: a shopper of one id, a cart with its id, lines.

What has anything more to it is left to the payload's model and the adapter (Odd). Where the short way gives a translation, it is
theirs: they say what the fields mean.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from services.ingest.adapters.native import KINDS, SOURCE
from services.ingest.adapters.seam import Arrival
from services.ingest.api import quick
from services.ingest.api.payloads import MOST_LINES
from services.ingest.api.quick import Odd
from services.ingest.domain import marks, plain
from services.ingest.domain.clock import YEAR_MS, event_time
from services.ingest.domain.people import Identity, identity_of, shopper_key
from services.ingest.domain.translation import Translation
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import LARGEST_MINOR, BadAmount, Money, from_decimal

_PLAIN_KINDS = {
    name: KINDS[name]
    for name in ("product_viewed", "cart_updated", "item_added", "item_set", "cart_emptied", "checkout_step")
}
_NO_PRICE = Money(), False

Read = Callable[[Any], Any]


def cart_event(item: object, arrival: Arrival) -> Translation:
    """As the adapter's of the same name; raises Odd."""
    if type(item) is not dict:
        raise Odd
    given = _ABSENT.copy()
    for name, value in item.items():
        if value is not None:
            read = _FIELDS.get(name)
            if read is None:
                raise Odd
            given[name] = read(value)
    own_id, cart_id, event = given["event_id"], given["cart_id"], given["event"]
    store = arrival.store
    agent = arrival.user_agent
    if not (own_id and cart_id and event) or (agent and marks.of_agent(agent)):
        raise Odd
    identities = _identities(given["customer_id"], given["anonymous_id"], arrival)
    currency = given["currency"] or store.currency
    lines = _lines(given["lines"], event, currency)
    if (event == "checkout_step" and not given["step"]) or (event == "product_viewed" and not given["product_id"]):
        raise Odd
    occurred_at = received_at = arrival.received_at
    if given["occurred_at"] is not None:
        occurred_at = event_time(given["occurred_at"], arrival.sent_at, received_at, received_at - YEAR_MS)
    event_id = ids.source_event(store.store_id, SOURCE, f"carts:id:{own_id}")
    activity = CartActivity(
        id=ids.record_of(event_id, "CartActivity"),
        store_id=store.store_id,
        occurred_at=occurred_at,
        imported=arrival.imported,
        received_at=received_at,
        source=SOURCE,
        source_event_id=own_id,
        config_version=store.version,
        kind=_PLAIN_KINDS[event],
        cart_id=cart_id,
        customer_id=shopper_key(identities, cart_id),
        identities=(identities[0].hash,) if identities else (),
        anonymous_id=given["anonymous_id"],
        session_id=given["session_id"],
        device=given["device"],
        currency=currency,
        lines=lines,
        step=given["step"],
        product_id=given["product_id"],
        country=arrival.country,
    )
    return Translation(event_id=event_id, kind=event, records=(activity,), identities=identities)


def _identities(customer_id: str, anonymous_id: str, arrival: Arrival) -> tuple[Identity, ...]:
    if customer_id and anonymous_id:
        raise Odd  # Which says that they are one person.
    if customer_id:
        return (identity_of(arrival.store.store_id, "customer", customer_id, arrival.hasher),)
    if anonymous_id:
        return (identity_of(arrival.store.store_id, "anonymous", anonymous_id, arrival.hasher),)
    return ()


def _lines(given: list[object] | None, event: str, currency: str) -> tuple[CartLine, ...]:
    if not given:
        if event in {"item_added", "item_set"} or (event == "cart_updated" and given is None):
            raise Odd
        return ()
    if len(given) > MOST_LINES:
        raise Odd
    return tuple([_line(one, event, currency) for one in given])


def _line(one: object, event: str, currency: str) -> CartLine:
    if type(one) is not dict:
        raise Odd
    given = _ABSENT_IN_LINE.copy()
    for name, value in one.items():
        if value is not None:
            read = _LINE_FIELDS.get(name)
            if read is None:
                raise Odd
            given[name] = read(value)
    product, variant, quantity, price = given["product_id"], given["variant_id"], given["quantity"], given["unit_price"]
    unit_price, was_rounded = _NO_PRICE if price is None else _priced(price, currency)
    if not product or unit_price.minor * quantity > LARGEST_MINOR or (not quantity and event == "item_added"):
        raise Odd
    return CartLine(
        line_id=given["line_id"] or (f"{product}:{variant}" if variant else product),
        product_id=product,
        variant_id=variant,
        name=given["name"],
        quantity=quantity,
        unit_price=unit_price,
        image_url=given["image_url"],
        category=given["category"],
        brand=given["brand"],
        price_rounded=was_rounded,
    )


def _as_it_is(value: object) -> object:
    if type(value) not in (str, int, float):
        raise Odd
    return value


def _list(value: object) -> object:
    if type(value) is not list:
        raise Odd
    return value


def _priced(value: str | int | float, currency: str) -> tuple[Money, bool]:
    try:
        return _money(value, currency)
    except (plain.BadValue, BadAmount):
        raise Odd from None


@lru_cache(maxsize=8192, typed=True)  # A shop has few prices.
def _money(value: str | int | float, currency: str) -> tuple[Money, bool]:
    return from_decimal(plain.amount(value), currency)


def _image(value: object) -> str:
    if type(value) is not str:
        raise Odd
    try:
        return _address(value)
    except plain.BadValue:
        raise Odd from None


_address = lru_cache(maxsize=8192)(plain.web_address)  # Nor many pictures.

_FIELDS: Mapping[str, Read] = {
    "event": quick.one_of(frozenset(_PLAIN_KINDS)),
    "event_id": quick.an_id,
    "occurred_at": quick.time,
    "customer_id": quick.an_id,
    "anonymous_id": quick.an_id,
    "cart_id": quick.an_id,
    "session_id": quick.an_id,
    "device": quick.text,
    "lines": _list,
    "currency": quick.currency,
    "step": quick.an_id,
    "product_id": quick.an_id,
}
_ABSENT: dict[str, Any] = {name: None if name in {"lines", "occurred_at"} else "" for name in _FIELDS}
_LINE_FIELDS: Mapping[str, Read] = {
    "product_id": quick.an_id,
    "variant_id": quick.an_id,
    "line_id": quick.an_id,
    "name": quick.text,
    "quantity": quick.quantity,
    "unit_price": _as_it_is,
    "image_url": _image,
    "category": quick.text,
    "brand": quick.text,
}
_ABSENT_IN_LINE: dict[str, Any] = dict.fromkeys(_LINE_FIELDS, "") | {"quantity": 1, "unit_price": None}
