"""Where values stand in a record's bytes."""

import io
from typing import Any

import pytest
from fastavro import schemaless_reader

from trolleybus.avro.layout import Layout, layout

MONEY = {
    "type": "record",
    "name": "Money",
    "fields": [{"name": "minor", "type": "long"}, {"name": "currency", "type": "string"}],
}
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "price", "type": MONEY},
        {"name": "discount", "type": "Money"},
        {"name": "rounded", "type": "boolean"},
    ],
}
CART = {
    "type": "record",
    "name": "Cart",
    "fields": [
        {"name": "imported", "type": "boolean"},
        {"name": "id", "type": "string"},
        {"name": "marks", "type": {"type": "array", "items": "string"}},
        {"name": "identities", "type": {"type": "array", "items": "string"}},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
        {"name": "total", "type": "Money"},
    ],
}


def text(value: str) -> bytes:
    return bytes([2 * len(value)]) + value.encode()


def written(found: Layout, values: dict[str, bytes], lines: list[dict[str, bytes]]) -> bytes:
    """As who writes by a layout does."""
    done = b""
    for place in found.places:
        done += place.before
        if place.items is None:
            done += values[place.path]
        else:
            done += bytes([2 * len(lines)]) + b"".join(written(place.items, line, []) for line in lines) + b"\0"
    return done + found.tail


def test_constant_bytes_and_values_by_turns_are_the_record() -> None:
    paths = ["id", "identities", "lines.name", "lines.price.minor", "total.currency"]
    found = layout(CART, paths, prefix=b"frame")
    values = {"id": text("c1"), "identities": bytes([2]) + text("anna") + b"\0", "total.currency": text("EUR")}
    lines = [
        {"lines.name": text("Lamp"), "lines.price.minor": b"\x06"},
        {"lines.name": text(""), "lines.price.minor": b"\2"},
    ]
    data = written(found, values, lines)
    assert data.startswith(b"frame")
    read: Any = schemaless_reader(io.BytesIO(data[5:]), CART, None)
    nothing = {"minor": 0, "currency": ""}
    assert read == {
        "imported": False,
        "id": "c1",
        "marks": [],
        "identities": ["anna"],
        "lines": [
            {"name": "Lamp", "price": {"minor": 3, "currency": ""}, "discount": nothing, "rounded": False},
            {"name": "", "price": {"minor": 1, "currency": ""}, "discount": nothing, "rounded": False},
        ],
        "total": {"minor": 0, "currency": "EUR"},
    }
    assert {place.path: place.kind for place in found.places}["lines"] == "each"


@pytest.mark.parametrize("path", ["nothing", "lines", "total", "lines.nothing", "id.more"])
def test_a_path_that_leads_to_no_plain_value_is_named(path: str) -> None:
    with pytest.raises(LookupError, match=path):
        layout(CART, ["id", path])
