"""The short way to a payload gives what its model gives, or nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.api.payloads import CartEvent, Customer, Order, Payload
from services.ingest.api.quick import Odd, reader_of

READERS: dict[type[Payload], Callable[[object], Payload]] = {
    model: reader_of(model) for model in (CartEvent, Order, Customer)
}

TEXTS = (
    st.sampled_from(["", " c1 ", "c1", "x" * 201, "x" * 501, "a\0b", "\ud800", "\x1c", "é", "eur", "EUR"]) | st.text()
)
ODDITIES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just({}) | st.just([])
)
TIMES = st.sampled_from(["2026-03-01T18:30:00Z", "2026-03-01T18:30:00.25+01:00", "yesterday"]) | ODDITIES
AMOUNTS = st.sampled_from(["24.90", " 1 ", "1e3", "-1", "NaN", 24.9, 0, -1, True, "9" * 41]) | ODDITIES
QUANTITIES = st.integers(-1, 5) | st.sampled_from([100_000, 100_001, "3", 2.0, 2.5, True]) | ODDITIES
LINES = st.fixed_dictionaries(
    {},
    optional={
        "product_id": st.just("P1") | TEXTS,
        "variant_id": ODDITIES,
        "name": TEXTS,
        "quantity": QUANTITIES,
        "unit_price": AMOUNTS,
        "url": TEXTS,
        "colour": TEXTS,
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(["cart_updated", "item_added", "order_placed", "order_paid"]) | ODDITIES,
        "event_id": TEXTS,
        "occurred_at": TIMES,
        "customer_id": ODDITIES,
        "email": TEXTS,
        "locale": TEXTS,
        "cart_id": TEXTS,
        "order_id": TEXTS,
        "currency": TEXTS,
        "total": AMOUNTS,
        "discount": AMOUNTS,
        "lines": st.lists(LINES, max_size=2) | ODDITIES,
        "coupons": ODDITIES,
        "first_name": TEXTS,
        "unknown": ODDITIES,
    },
)


@pytest.mark.parametrize("model", READERS)
@given(st.data())
def test_the_short_way_gives_what_the_model_gives_or_nothing(model: type[Payload], data: st.DataObject) -> None:
    event = data.draw(EVENTS)
    try:
        found = READERS[model](event)
    except Odd:
        return
    try:
        wanted = model.model_validate(event)
    except ValidationError as error:
        raise AssertionError(f"the model refuses {event}: {error}") from None
    assert found == wanted
    assert found.model_fields_set == wanted.model_fields_set
    assert [type(value) for value in vars(found).values()] == [type(vars(wanted)[name]) for name in vars(found)]


@pytest.mark.parametrize(
    "event",
    [
        {
            "event": "cart_updated",
            "cart_id": "c1",
            "lines": [{"product_id": "P1", "unit_price": "24.90", "quantity": 2}],
        },
        {"event": "product_viewed", "product_id": "P1", "occurred_at": "2026-03-01T18:30:00Z", "email": None},
    ],
)
def test_what_is_plainly_right_goes_the_short_way(event: dict[str, Any]) -> None:
    assert READERS[CartEvent](json.loads(json.dumps(event))) == CartEvent.model_validate(event)
