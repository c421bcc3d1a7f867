"""The short way from a plain cart event to its record gives what the payload's model and the adapter give, or nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.adapters import native, native_plain
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.api.payloads import CartEvent
from services.ingest.api.quick import Odd
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.stores import StoreConfig

HASHER = IdentityHasher(installation_secrets("a" * 32))
RECEIVED = 1_772_000_000_000
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

ODDITIES: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.just({}) | st.just([])
IDS = st.sampled_from(["c1", " c1 ", "shopper@example.com", "x" * 200, "x" * 201, "", " ", "a\0b", "é"]) | ODDITIES
TEXTS = st.sampled_from(["Lamp", "", "x" * 501, "a\0b", "\x1c", "\ud800", "é"]) | ODDITIES
PRICES = st.sampled_from(["24.90", " 1 ", "1e3", "0.001", "-1", "NaN", "1e10", 24.9, 0, -0.0, 10**11, True]) | ODDITIES
TIMES = st.sampled_from(
    ["2026-02-25T00:00:00Z", "2026-02-24T18:30:00.25+01:00", "1970-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "today"]
)
LINES = st.fixed_dictionaries(
    {"product_id": st.just("P1") | IDS},
    optional={
        "variant_id": IDS,
        "line_id": IDS,
        "name": TEXTS,
        "quantity": st.integers(-1, 3) | st.sampled_from([100_000, 100_001, "3", 2.0]) | ODDITIES,
        "unit_price": PRICES,
        "image_url": st.sampled_from(["https://cdn.example.com/a.jpg", "ftp://a", " ", "/a.jpg"]) | TEXTS,
        "category": TEXTS,
        "brand": TEXTS,
        "url": TEXTS,
        "discount": PRICES,
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "event": st.sampled_from([*native.KINDS, "order_placed", None]),
        "event_id": st.just("e1") | IDS,
        "cart_id": st.just("c1") | IDS,
    },
    optional={
        "anonymous_id": IDS,
        "customer_id": IDS,
        "occurred_at": TIMES,
        "session_id": IDS,
        "device": TEXTS,
        "currency": st.sampled_from(["JPY", "eur", "EURO", ""]),
        "lines": st.lists(LINES, max_size=3) | ODDITIES,
        "step": IDS,
        "product_id": IDS,
        "email": TEXTS,
        "unknown": TEXTS,
    },
)
ARRIVALS = st.builds(
    Arrival,
    store=st.builds(
        StoreConfig,
        store_id=st.just("shop"),
        version=st.just(3),
        currency=st.sampled_from(["EUR", "KWD", ""]),
        unmarked=st.sampled_from([(), ("bot",)]),
    ),
    hasher=st.just(HASHER),
    received_at=st.just(RECEIVED),
    sent_at=st.sampled_from([None, RECEIVED - 60_000, RECEIVED + 60_000]),
    is_public=st.booleans(),
    user_agent=st.sampled_from(["", BROWSER, "curl/8.5.0"]),
    country=st.sampled_from(["", "ES"]),
    imported=st.booleans(),
)


@given(EVENTS, ARRIVALS)
def test_the_short_way_gives_what_model_and_adapter_give_or_nothing(event: dict[str, Any], arrival: Arrival) -> None:
    try:
        found = native_plain.cart_event(event, arrival)
    except Odd:
        return
    try:
        wanted = native.cart_event(CartEvent.model_validate(event), arrival)
    except (ValidationError, Refused) as error:
        raise AssertionError(f"model and adapter refuse {event}: {error}") from None
    assert found == wanted


@pytest.mark.parametrize(
    "event",
    [
        {"event": "product_viewed", "product_id": "P1", "anonymous_id": "a"},
        {"event": "cart_updated", "lines": [{"product_id": "P1", "unit_price": "9.90"}], "customer_id": "k"},
        {"event": "item_added", "lines": [{"product_id": "P1", "quantity": 2, "unit_price": 9.9, "name": "Lamp"}]},
        {"event": "item_set", "lines": [{"product_id": "P1", "image_url": "https://cdn.example.com/a.jpg"}]},
        {"event": "cart_emptied", "occurred_at": "2026-02-25T00:00:00Z"},
        {"event": "checkout_step", "step": "payment", "session_id": "s", "device": "mobile"},
    ],
)
def test_plain_events_go_the_short_way(event: dict[str, Any]) -> None:
    store = StoreConfig(store_id="shop", currency="EUR")
    arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED, user_agent=BROWSER)
    named = {"event_id": "e1", "cart_id": "c1", **event}
    assert native_plain.cart_event(named, arrival) == native.cart_event(CartEvent.model_validate(named), arrival)


@pytest.mark.parametrize("event", ["text", [], None, 3])
def test_what_is_no_object_is_odd(event: object) -> None:
    arrival = Arrival(store=StoreConfig(store_id="shop"), hasher=HASHER, received_at=RECEIVED)
    with pytest.raises(Odd):
        native_plain.cart_event(event, arrival)
