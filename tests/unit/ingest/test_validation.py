"""Hostile and broken values in a native event: refused with the field that is wrong, or read as what they can only mean."""

import json
from typing import Any

import pytest

from services.ingest.adapters.native import cart_event
from services.ingest.adapters.seam import Refused
from services.ingest.api.bodies import parse
from services.ingest.api.payloads import CartEvent
from services.ingest.domain.clock import YEAR_MS
from tests.unit.ingest.given import NOW, arrival
from trolleybus.contracts.cart import CartActivity

LINE = {"product_id": "mug", "unit_price": "1"}


def read(changes: dict[str, Any], line: dict[str, Any] | None = None) -> CartActivity:
    told = {"event": "cart_updated", "event_id": "e1", "cart_id": "c1", "lines": [{**LINE, **(line or {})}], **changes}
    last = cart_event(CartEvent.model_validate(parse(json.dumps(told).encode())), arrival()).records[-1]
    assert isinstance(last, CartActivity)
    return last


@pytest.mark.parametrize(
    "line",
    [
        {"unit_price": -0.01},
        {"unit_price": "-1"},
        {"unit_price": "NaN"},
        {"unit_price": "Infinity"},
        {"unit_price": "1e400"},
        {"unit_price": 1e300},
        {"unit_price": 10**40},
        {"unit_price": True},
        {"unit_price": [1]},
        {"unit_price": "9" * 41},
        {"unit_price": "1,50"},
        {"unit_price": 10**11, "quantity": 100_000},
        {"quantity": -1},
        {"quantity": 1.5},
        {"quantity": 10**9},
        {"quantity": True},
        {"quantity": "many"},
        {"product_id": ""},
        {"product_id": " \t"},
        {"product_id": "x" * 201},
        {"product_id": "a\0b"},
        {"product_id": "a\nb"},
        {"product_id": "\ud800"},
        {"name": "a\0b"},
        {"name": "\ud800 half a sign"},
        {"name": "x" * 501},
        {"name": {"en": "Mug"}},
    ],
)
def test_P8_a_value_that_cannot_be_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises((ValueError, Refused)):
        read({}, line)


@pytest.mark.parametrize(
    ("line", "minor"),
    [
        ({"unit_price": "1e1"}, 1000),
        ({"unit_price": 1e-7}, 0),
        ({"unit_price": "1e-400"}, 0),
        ({"unit_price": -0.0}, 0),
        ({"unit_price": 0.1}, 10),
        ({"unit_price": " 19.90 "}, 1990),
        ({"unit_price": "19.999"}, 2000),
    ],
)
def test_a_price_is_read_as_the_number_that_it_is(line: dict[str, Any], minor: int) -> None:
    (read_line,) = read({}, line).lines
    assert read_line.unit_price.minor == minor


@pytest.mark.parametrize(
    "text", ["Tasse à café ☕", "مزهرية", "杯子", "e\u0301", "👩‍👩‍👧", "<b>&amp;</b>", "a\tb\nc", "'; --"]
)
def test_any_writing_is_kept_as_it_is(text: str) -> None:
    (line,) = read({}, {"name": text}).lines
    assert line.name == text


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("1970-01-01T00:00:00Z", NOW),
        ("2019-01-01T00:00:00Z", NOW),
        ("2126-01-01T00:00:00Z", NOW),
        ("0001-01-01T00:00:00+14:00", NOW),
        ("9999-12-31T23:59:59-14:00", NOW),
    ],
)
def test_a_clock_that_is_years_wrong_counts_as_the_arrival(told: str, expected: int) -> None:
    assert read({"occurred_at": told}).occurred_at == expected
    assert NOW - expected < YEAR_MS


@pytest.mark.parametrize(
    "told", ["yesterday", "2026-02-30T00:00:00Z", "2026-03-01", 1_780_000_000, "2026-03-01T00:00:00"]
)
def test_what_is_no_time_is_refused(told: Any) -> None:
    with pytest.raises(ValueError, match="occurred_at"):
        read({"occurred_at": told})


def test_more_lines_than_a_cart_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="lines"):
        read({"lines": [LINE] * 501})
