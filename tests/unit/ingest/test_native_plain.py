"""The short way from a body's bytes to records gives what its JSON, the payload's model and the adapter give, or nothing."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.adapters import native, native_short
from services.ingest.adapters.native_short import ShortWay
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.api.bodies import items_in
from services.ingest.api.payloads import CartEvent
from services.ingest.api.quick import Odd
from services.ingest.domain.people import identity_of
from services.ingest.domain.persons import Standing
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.settlement import settled, settled_event, sighting_for_today
from services.ingest.domain.translation import Translation
from trolleybus.codec import Codec
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.identity import IdentityHasher, installation_secrets
from trolleybus.contracts.stores import StoreConfig
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.http import Problem
from trolleybus.registry import Registry
from trolleybus.telemetry import continue_trace
from trolleybus.topics import Topics

HASHER = IdentityHasher(installation_secrets("a" * 32))
RECEIVED = 1_772_000_000_000
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

ODDITIES: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.just({}) | st.just([])
IDS = (
    st.sampled_from(
        ["c1", " c1 ", "shopper@example.com", "x" * 200, "x" * 201, "", " ", "a\0b", "é", "a\x7fb", "é\xa0", "\u200bc"]
    )
    | ODDITIES
)
TEXTS = st.sampled_from(["Lamp", "", "x" * 501, "a\0b", "\x1c", "\ud800", "é"]) | ODDITIES
PRICES = st.sampled_from(["24.90", " 1 ", "1e3", "0.001", "-1", "NaN", "1e10", 24.9, 0, -0.0, 10**11, True]) | ODDITIES
TIMES = ODDITIES | st.sampled_from(
    [
        "",
        "2026-02-25T00:00:00Z",
        "2026-02-24T18:30:00.25+01:00",
        "1970-01-01T00:00:00Z",
        "2031-01-01T00:00:00Z",
        "today",
    ]
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
        "url": st.sampled_from(["https://shop.example.com/p", "https://www.else.example/p", "", " ", "/p"]) | TEXTS,
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
        "cart_url": st.sampled_from(["https://shop.example.com/cart", "https://else.example/cart", " "]) | TEXTS,
        "locale": st.sampled_from(["es_ES", "en", "", " ", "!"]) | TEXTS,
        "time_zone": st.sampled_from(["Europe/Madrid", "Mars/Base", " "]) | TEXTS,
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
        shop_url=st.sampled_from(["", "https://shop.example.com"]),
    ),
    hasher=st.just(HASHER),
    received_at=st.just(RECEIVED),
    sent_at=st.sampled_from([None, RECEIVED - 60_000, RECEIVED + 60_000]),
    is_public=st.booleans(),
    user_agent=st.sampled_from(["", BROWSER, "curl/8.5.0"]),
    country=st.sampled_from(["", "ES"]),
    imported=st.booleans(),
    is_crowd=st.sampled_from([False, False, False, True]),
)


BODIES = st.one_of(
    EVENTS,
    st.fixed_dictionaries({"events": st.lists(EVENTS, max_size=3)}, optional={"sent_at": TIMES}),
    st.fixed_dictionaries({"sent_at": TIMES, "events": st.lists(EVENTS, max_size=2)}),
)


def by_the_short_way(way: ShortWay, body: bytes, arrival: Arrival) -> tuple[Any, ...] | None:
    found = way.read(body)
    if found is None:
        return None
    number = len(found.items)
    sent = replace(arrival, sent_at=found.sent_at)
    try:
        sealed = [*way.seal(found.items, sent, 0, 1), *way.seal(found.items, sent, 1, number)]
    except Odd:
        return None
    assert len(sealed) == number
    for one in sealed:
        assert_sealed_as_wrapped(one)
    return [one.long_form() for one in sealed], found.is_batch, found.pointer(1), number


def by_the_model(body: bytes, arrival: Arrival) -> tuple[Any, ...]:
    found = items_in(body, "events", 500)
    sent = replace(arrival, sent_at=found.sent_at)
    made: list[Translation] = [native.cart_event(CartEvent.model_validate(item), sent) for item in found.items]
    return made, found.is_batch, found.pointer(1), len(found.items)


class Schemas:
    """A registry of one schema."""

    async def id_of(self, _subject: str, _text: str) -> int:
        return 7


LARGEST = 20_000


def sealing() -> tuple[Codec, Envelopes]:
    topics = Topics.load()
    codec = Codec(cast(Registry, Schemas()), topics)
    envelopes = Envelopes("ingest", topics, codec)
    asyncio.run(codec.prepare(CartActivity))
    return codec, envelopes


CODEC, ENVELOPES = sealing()


@pytest.fixture(scope="module", params=["pure", "compiled"])
def way(request: pytest.FixtureRequest) -> Iterator[ShortWay]:
    is_pure = request.param == "pure"
    if not is_pure and not native_short.COMPILED:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("native_machine is not built: make setup")
    with patch.object(native_short, "COMPILED", not is_pure):
        yield native_short.short_way(CODEC, ENVELOPES, LARGEST)


def assert_sealed_as_wrapped(sealed: Sealed) -> None:
    long = sealed.long_form()
    (record,) = long.records
    wrapped = ENVELOPES.wrap(record)
    assert len(wrapped.value or b"") <= LARGEST
    assert opened(sealed.outgoing) == wrapped
    assert sealed.outgoing.size == wrapped.size
    assert (sealed.event_id, sealed.kind, sealed.identities) == (long.event_id, long.kind, long.identities)
    assert isinstance(record, CartActivity)
    assert (sealed.customer_id, sealed.cart_id) == (record.customer_id, record.cart_id)
    assert sealed.occurred_at == record.occurred_at
    assert sighting_for_today(sealed) == sighting_for_today(long)
    foreign = identity_of("shop", "customer", "somebody else", HASHER)
    for stand_ins in [{}, {one.hash: (one, foreign) for one in long.identities}]:
        standing = Standing(open_cart="another", stand_ins=stand_ins)
        assert bytes_of(settled_event(sealed, standing)) == bytes_of(settled(long, standing))


def opened(outgoing: Any) -> Outgoing:
    return Outgoing(outgoing.topic, outgoing.key, outgoing.value, outgoing.headers)


def bytes_of(event: Event) -> list[Outgoing]:
    return (
        [opened(event.outgoing)] if isinstance(event, Sealed) else [ENVELOPES.wrap(record) for record in event.records]
    )


def compare(way: ShortWay, body: bytes, arrival: Arrival) -> bool:
    """Whether the short way answered."""
    found = by_the_short_way(way, body, arrival)
    if found is None:
        return False
    try:
        wanted = by_the_model(body, arrival)
    except (ValidationError, Refused, Problem) as error:
        raise AssertionError(f"model and adapter refuse {body!r}: {error}") from None
    assert found == wanted
    assert not arrival.imported
    assert not arrival.is_crowd
    return True


@given(BODIES, ARRIVALS, st.booleans())
def test_the_short_way_gives_what_model_and_adapter_give_or_nothing(
    way: ShortWay, document: dict[str, Any], arrival: Arrival, in_ascii: bool
) -> None:
    compare(way, json.dumps(document, ensure_ascii=in_ascii).encode("utf-8", "surrogatepass"), arrival)


@given(EVENTS, ARRIVALS, st.sampled_from(["cart_id", "event", "lines", "name", "unit_price", "quantity", "device"]))
def test_a_name_that_stands_twice_never_goes_the_short_way(
    way: ShortWay, event: dict[str, Any], arrival: Arrival, name: str
) -> None:
    whole = json.dumps(
        {"device": "app", "lines": [{"product_id": "P", "name": "n", "unit_price": 1, "quantity": 1}], **event}
    )
    twice = whole.replace(f'"{name}":', f'"{name}": null, "{name}":', 1)
    if twice != whole:
        assert way.read(twice.encode()) is None


@pytest.mark.parametrize(
    "event",
    [
        {"event": "product_viewed", "product_id": "P1", "anonymous_id": "a"},
        {"event": "cart_updated", "lines": [{"product_id": "P1", "unit_price": "9.90"}], "customer_id": "k"},
        {"event": "item_added", "lines": [{"product_id": "P1", "quantity": 2, "unit_price": 9.9, "name": "Café"}]},
        {"event": "item_set", "lines": [{"product_id": "P1", "image_url": "https://cdn.example.com/a.jpg"}]},
        {"event": "cart_emptied", "occurred_at": "2026-02-25T00:00:00Z", "device": ""},
        {"event": "checkout_step", "step": "payment", "session_id": "s", "device": None},
        {"event": "cart_updated", "lines": [], "locale": "es-ES", "time_zone": "Europe/Madrid"},
    ],
)
def test_plain_events_go_the_short_way_alone_and_in_batches(way: ShortWay, event: dict[str, Any]) -> None:
    store = StoreConfig(store_id="shop", currency="EUR")
    arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED, user_agent=BROWSER)
    named = {"event_id": "e1", "cart_id": "c1", **event}
    assert compare(way, json.dumps(named, ensure_ascii=False).encode(), arrival)
    batch = {"sent_at": "2026-02-25T00:00:00Z", "events": [named, {**named, "event_id": "e2"}]}
    assert compare(way, json.dumps(batch, ensure_ascii=False).encode(), arrival)


ELSEWHERE = "https://else.example/p"


@pytest.mark.parametrize(
    ("more", "is_public", "is_short"),
    [
        ({"lines": [{"product_id": "P", "unit_price": "99999999999", "quantity": 100_000}]}, True, False),
        ({"lines": [{"product_id": "P", "unit_price": "9999999999", "quantity": 1_000}]}, True, True),
        ({"event": "item_added", "lines": [{"product_id": "P", "quantity": 0}]}, True, False),
        ({"event": "item_set", "lines": [{"product_id": "P", "quantity": 0}]}, True, True),
        ({"lines": [{"product_id": "P", "variant_id": "V", "unit_price": 0.125}]}, True, True),
        ({"occurred_at": "2020-01-01T00:00:00Z"}, True, True),
        ({"occurred_at": "2031-01-01T00:00:00Z"}, True, True),
        ({"customer_id": "k", "anonymous_id": "a"}, True, False),
        ({"customer_id": "shopper@example.com"}, True, True),
        ({"lines": [{"product_id": "P", "url": ELSEWHERE}]}, True, False),
        ({"lines": [{"product_id": "P", "url": ELSEWHERE}]}, False, True),
        ({"cart_url": ELSEWHERE}, True, False),
        ({"cart_url": ELSEWHERE}, False, True),
        ({"cart_url": "https://www.shop.example.com/cart"}, True, True),
        ({"lines": [{"product_id": "P", "image_url": ELSEWHERE}]}, True, True),
        ({"lines": None}, True, False),
        ({"currency": "eur"}, True, False),
        ({"cart_id": " "}, True, False),
    ],
)
def test_in_the_corners_both_ways_say_the_same(
    way: ShortWay, more: dict[str, Any], is_public: bool, is_short: bool
) -> None:
    store = StoreConfig(store_id="shop", currency="EUR", shop_url="https://shop.example.com", version=2)
    arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED, is_public=is_public)
    event = {"event": "cart_updated", "event_id": "e1", "cart_id": "c1", "lines": [], **more}
    assert compare(way, json.dumps(event).encode(), arrival) is is_short


@pytest.mark.parametrize(
    ("text", "is_short"),
    [
        ("é", True),
        ("ランプ", True),
        ("a b", True),
        ("a\x7fb", False),
        ("é\xa0", False),
        ("\u200bé", False),
        ("a ", False),
    ],
)
@pytest.mark.parametrize("name", ["event_id", "cart_id", "session_id", "customer_id", "step"])
def test_only_ids_in_their_one_form_go_the_short_way(way: ShortWay, name: str, text: str, is_short: bool) -> None:
    arrival = Arrival(store=StoreConfig(store_id="shop", currency="EUR"), hasher=HASHER, received_at=RECEIVED)
    event = {"event": "cart_emptied", "event_id": "e1", "cart_id": "c1", name: text}
    assert compare(way, json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(), arrival) is is_short


def test_a_browser_that_says_it_is_a_robot_goes_the_long_way_to_its_mark(way: ShortWay) -> None:
    store = StoreConfig(store_id="shop", currency="EUR")
    arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED, user_agent="Googlebot/2.1")
    assert not compare(way, b'{"event":"cart_emptied","event_id":"e1","cart_id":"c1"}', arrival)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff", b'{"events":[]}', b'{"events":3}']
)
def test_what_is_no_event_does_not_go_the_short_way(way: ShortWay, body: bytes) -> None:
    assert way.read(body) is None


PLAIN = json.dumps(
    {
        "event": "item_added",
        "event_id": "e1",
        "cart_id": "c1",
        "anonymous_id": "a",
        "occurred_at": "2026-02-25T00:00:00Z",
        "lines": [
            {"product_id": "P1", "quantity": 2, "unit_price": 9.9, "name": "Café"},
            {"product_id": "P2", "unit_price": "1.50"},
        ],
    },
    ensure_ascii=False,
)
WHOLE = [PLAIN, f'{{"events": [{PLAIN}, {PLAIN}], "sent_at": null}}']


@given(st.sampled_from(WHOLE), st.data())
def test_a_body_that_was_damaged_anywhere_is_read_as_the_model_reads_it_or_not_at_all(
    way: ShortWay, text: str, data: st.DataObject
) -> None:
    body = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["cut", "drop", "put", "set", "twice"])):
            case "cut":
                body = body[:at] or body
            case "drop":
                del body[at : at + data.draw(st.integers(1, 8))]
                body = body or bytearray(b" ")
            case "put":
                body.insert(at, data.draw(st.sampled_from(SIGNS)))
            case "set":
                body[at] = data.draw(st.sampled_from(SIGNS))
            case "twice":
                body[at:at] = body[at : at + data.draw(st.integers(1, 30))]
    arrival = Arrival(store=StoreConfig(store_id="shop", currency="EUR"), hasher=HASHER, received_at=RECEIVED)
    compare(way, bytes(body), arrival)


SIGNS = b'"{}[]:,\\ \t\n\r\0 09.eE-+nultrfasP\x7f\x80\xc3\xa9\xff'


@pytest.mark.parametrize("price", ["0", "1", "12.5", "0.5", "123456789.12345", '"1e3"', "10000000000"])
@pytest.mark.parametrize("space", ["", " ", "\n\t\r "])
def test_numbers_and_white_space_as_json_has_them_go_the_short_way(way: ShortWay, price: str, space: str) -> None:
    arrival = Arrival(store=StoreConfig(store_id="shop", currency="EUR"), hasher=HASHER, received_at=RECEIVED)
    line = f'{{"product_id":{space}"P"{space},{space}"quantity":3{space},"unit_price":{price}{space}}}'
    body = f'{space}{{"event":"item_set","event_id":"e","cart_id":"c","lines":[{line}{space},{line}]{space}}}{space}'
    assert compare(way, body.encode(), arrival)


@pytest.mark.parametrize("price", ["01", ".5", "1.", "+1", "-1", "1e", "NaN", "Infinity", "0x1", "1_0", "true", "1 2"])
def test_what_json_does_not_call_a_price_does_not_go_the_short_way(way: ShortWay, price: str) -> None:
    arrival = Arrival(store=StoreConfig(store_id="shop", currency="EUR"), hasher=HASHER, received_at=RECEIVED)
    line = f'{{"product_id":"P","unit_price":{price}}}'
    body = f'{{"event":"item_set","event_id":"e","cart_id":"c","lines":[{line}]}}'
    assert not compare(way, body.encode(), arrival)


def test_many_events_and_lines_are_all_there(way: ShortWay) -> None:
    arrival = Arrival(store=StoreConfig(store_id="shop", currency="EUR"), hasher=HASHER, received_at=RECEIVED)
    events = [
        {
            "event": "cart_updated",
            "event_id": f"e{number}",
            "cart_id": f"c{number}",
            "lines": [{"product_id": f"P{line}", "quantity": line} for line in range(number % 7)],
        }
        for number in range(300)
    ]
    assert compare(way, json.dumps({"events": events}).encode(), arrival)


@pytest.mark.skipif(not native_short.COMPILED, reason="native_machine is not built")
@given(st.binary(max_size=300))
def test_ids_made_in_c_are_those_of_the_standard_library(name: bytes) -> None:
    from services.ingest.adapters import native_machine

    digest = hashlib.sha1(ids.NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16]
    assert native_machine.version_5(name) == (str(UUID(bytes=digest, version=5)),) * 2


def test_a_trace_travels_with_what_is_sealed_in_it_and_each_stores_events_are_its_own(way: ShortWay) -> None:
    for store_id in ["shop", "другой магазин", "shop"]:
        store = StoreConfig(store_id=store_id, currency="EUR", version=len(store_id))
        arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED)
        body = b'{"event":"cart_emptied","event_id":"e1","cart_id":"c1"}'
        with continue_trace(None) as trace:
            assert compare(way, body, arrival)
            found = way.read(body)
            assert found is not None
            (sealed,) = way.seal(found.items, arrival, 0, 1)
        headers = dict(sealed.outgoing.headers)
        assert headers["traceparent"].decode().split("-")[1] == trace.trace_id
        assert (headers["ce_storeid"].decode(), sealed.outgoing.key.decode()) == (store_id, f"{store_id}:c1")


def test_however_many_shoppers_come_each_is_who_they_are(way: ShortWay) -> None:
    """More than are remembered, each twice."""
    store = StoreConfig(store_id="shop", currency="EUR")
    arrival = Arrival(store=store, hasher=HASHER, received_at=RECEIVED)
    for name in ("customer_id", "anonymous_id"):
        for at in (*range(0, 40_000, 400), 0):
            events = [
                {"event": "cart_emptied", "event_id": "e", "cart_id": "c", name: f"s{number}"}
                for number in range(at, at + 400)
            ]
            found = way.read(json.dumps({"events": events}).encode())
            assert found is not None
            for number, sealed in enumerate(way.seal(found.items, arrival, 0, 400)):
                assert sealed.identities == (identity_of("shop", name.removesuffix("_id"), f"s{at + number}", HASHER),)
