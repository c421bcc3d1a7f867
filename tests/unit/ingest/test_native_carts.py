"""Cart events of the native source."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.adapters.native import cart_event
from services.ingest.adapters.seam import Refused
from services.ingest.api.payloads import MOST_FLAWS, CartEvent, flaws_of
from services.ingest.domain.settlement import tied
from services.ingest.domain.translation import Translation
from tests.unit.ingest.given import NOW, STORE, arrival, hashed
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.money import LARGEST_MINOR, Money, from_decimal


def read(event: dict[str, Any], **changes: Any) -> Translation:
    return cart_event(CartEvent.model_validate({"event_id": "e1", "cart_id": "c1", **event}), arrival(**changes))


def activity(event: dict[str, Any], **changes: Any) -> CartActivity:
    return next(one for one in read(event, **changes).records if isinstance(one, CartActivity))


def refused_fields(event: dict[str, Any], **changes: Any) -> set[str]:
    with pytest.raises(Refused) as refused:
        read(event, **changes)
    return {flaw.field for flaw in refused.value.errors}


MUG = {"product_id": "mug", "variant_id": "blue", "quantity": 2, "unit_price": "12.50"}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"event": "product_viewed", "product_id": "mug"}, "product_viewed"),
        ({"event": "cart_updated", "lines": []}, "snapshot"),
        ({"event": "item_added", "lines": [MUG]}, "lines_added"),
        ({"event": "item_removed", "lines": [{"product_id": "mug"}]}, "lines_removed"),
        ({"event": "item_set", "lines": [MUG]}, "lines_set"),
        ({"event": "cart_emptied"}, "cart_emptied"),
        ({"event": "checkout_step", "step": "payment"}, "checkout_step"),
        ({"event": "contact_captured", "email": "shopper@example.com"}, "contact_captured"),
    ],
)
def test_each_event_becomes_its_kind_of_activity(event: dict[str, Any], kind: str) -> None:
    record = activity(event)
    assert record.kind == kind
    assert (record.store_id, record.cart_id, record.config_version) == ("store-1", "c1", STORE.version)
    assert (record.source, record.source_event_id, record.received_at) == ("native", "e1", NOW)


def test_lines_carry_minor_units_in_the_stores_currency_and_an_id_of_their_product() -> None:
    line = activity({"event": "item_added", "lines": [MUG]}).lines[0]
    assert (line.line_id, line.quantity, line.unit_price) == ("mug:blue", 2, Money(minor=1250, currency="EUR"))
    assert not line.price_rounded


def test_a_price_finer_than_the_currency_is_rounded_and_marked() -> None:
    event = {"event": "item_added", "currency": "JPY", "lines": [{**MUG, "unit_price": 99.5}]}
    line = activity(event).lines[0]
    assert (line.unit_price, line.price_rounded) == (Money(minor=100, currency="JPY"), True)


def test_pieces_taken_out_are_a_negative_difference() -> None:
    record = activity({"event": "item_removed", "lines": [{"product_id": "mug", "quantity": 3}]})
    assert (record.kind, record.lines[0].quantity) == ("lines_added", -3)


@given(
    st.decimals(min_value=0, max_value=10**9, places=4) | st.floats(0, 10**9), st.sampled_from(["EUR", "JPY", "KWD"])
)
def test_money_is_what_the_contract_makes_of_the_text(price: Decimal | float, currency: str) -> None:
    given_as = price if isinstance(price, float) else str(price)
    record = activity(
        {"event": "item_added", "currency": currency, "lines": [{"product_id": "p", "unit_price": given_as}]}
    )
    assert (record.lines[0].unit_price, record.lines[0].price_rounded) == from_decimal(str(price), currency)


@given(
    event_id=st.text(max_size=20),
    key=st.sampled_from(["", "key-1:0"]),
    occurred_at=st.sampled_from(["2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"]),
    arrivals=st.tuples(st.integers(NOW - 10**9, NOW), st.integers(NOW, NOW + 10**9)),
    carts=st.tuples(st.none() | st.just("c8"), st.none() | st.just("c9")),
)
def test_ids_depend_on_the_event_alone_and_not_on_its_arrival_or_the_cart_found(
    event_id: str, key: str, occurred_at: str, arrivals: tuple[int, int], carts: tuple[str | None, str | None]
) -> None:
    event = {
        "event": "cart_emptied",
        "event_id": event_id if event_id.strip().isprintable() else "e",
        "cart_id": "",
        "occurred_at": occurred_at,
        "customer_id": "u1",
        "anonymous_id": "a1",
        "email": "shopper@example.com",
    }
    first, second = (
        tied(read(event, received_at=at, fallback_id=key, sent_at=at - 5), cart)
        for at, cart in zip(arrivals, carts, strict=True)
    )
    assert first.event_id == second.event_id
    assert [record.id for record in first.records] == [record.id for record in second.records]
    assert len({record.id for record in first.records}) == len(first.records) == 5
    assert all(record.occurred_at <= record.received_at for one in (first, second) for record in one.records)


def test_an_events_id_comes_from_its_own_id_then_the_requests_key_then_the_event_as_sent() -> None:
    own = read({"event": "cart_emptied"}, fallback_id="k:0", raw_hash="h1").event_id
    assert own == read({"event": "cart_emptied"}, fallback_id="k:1", raw_hash="h2").event_id
    unnamed = {"event": "cart_emptied", "event_id": "", "occurred_at": "2026-03-01T18:30:00Z"}
    by_key = read(unnamed, fallback_id="k:0", raw_hash="h1").event_id
    assert by_key == read(unnamed, fallback_id="k:0", raw_hash="h2").event_id
    assert by_key != read(unnamed, fallback_id="k:1", raw_hash="h1").event_id
    by_hash = read(unnamed, raw_hash="h1").event_id
    assert by_hash != read(unnamed, raw_hash="h2").event_id
    assert len({own, by_key, by_hash}) == 3
    assert by_key != read({"event": "cart_emptied", "event_id": "k:0"}).event_id


def test_an_event_that_could_not_be_told_from_its_repeat_is_refused() -> None:
    assert refused_fields({"event": "cart_emptied", "event_id": ""}) == {"/event_id"}


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({"event": "cart_updated"}, {"/lines"}),
        ({"event": "item_added"}, {"/lines"}),
        ({"event": "item_set", "lines": []}, {"/lines"}),
        ({"event": "item_added", "lines": [{"product_id": "p", "quantity": 0}]}, {"/lines/0/quantity"}),
        ({"event": "item_removed", "lines": [{"product_id": "p", "quantity": 1}, {"product_id": "q"}]}, {"/lines"}),
        ({"event": "checkout_step"}, {"/step"}),
        ({"event": "product_viewed"}, {"/product_id"}),
        ({"event": "contact_captured"}, {"/email"}),
        ({"event": "contact_captured", "email": "no address"}, {"/email"}),
        ({"event": "cart_emptied", "cart_id": ""}, {"/cart_id"}),
        (
            {"event": "item_added", "lines": [{"product_id": "p", "quantity": 100_000, "unit_price": 10**11}]},
            {"/lines/0/quantity"},
        ),
    ],
)
def test_what_an_event_lacks_is_refused_by_field(event: dict[str, Any], fields: set[str]) -> None:
    assert refused_fields(event) == fields


def test_amounts_without_any_currency_are_refused() -> None:
    from dataclasses import replace

    nowhere = replace(STORE, currency="")
    assert refused_fields({"event": "item_added", "lines": [MUG]}, store=nowhere) == {"/lines/0/unit_price"}


@given(st.integers(0, 100_000), st.integers(0, 10**11))
def test_no_line_is_worth_more_than_can_be_paid(quantity: int, price: int) -> None:
    event = {
        "event": "item_set",
        "currency": "JPY",
        "lines": [{"product_id": "p", "quantity": quantity, "unit_price": price}],
    }
    if quantity * price > LARGEST_MINOR:
        assert refused_fields(event) == {"/lines/0/quantity"}
    else:
        assert activity(event).lines[0].unit_price.minor == price


def test_unreadable_particulars_are_left_out_and_named_while_the_event_counts() -> None:
    event = {
        "event": "cart_emptied",
        "anonymous_id": "a1",
        "email": "nobody at all",
        "phone": "12",
        "country": "Spain",
        "locale": "?",
        "time_zone": "Mars/Olympus",
        "cart_url": "javascript:alert(1)",
    }
    translation = read(event)
    assert {flaw.field for flaw in translation.left_out} == {
        "/email", "/phone", "/country", "/locale", "/time_zone", "/cart_url",
    }  # fmt: skip
    record = translation.records[0]
    assert isinstance(record, CartActivity)
    assert (record.email, record.phone, record.country, record.locale, record.time_zone, record.cart_url) == ("",) * 6


@pytest.mark.parametrize(
    ("url", "is_public", "kept"),
    [
        ("https://shop.example.com/cart/1", True, True),
        ("https://checkout.shop.example.com/1", True, True),
        ("https://shop.example.com.evil.example/1", True, False),
        ("https://evil.example/1", True, False),
        ("https://shop.example.com/a b", False, False),
        ("https://shop.example.com/a\u2003b", False, False),
        ("//shop.example.com/a", False, False),
        ("https://app.links.example/1", False, True),
    ],
)
def test_a_public_key_cannot_put_foreign_links_into_messages(url: str, is_public: bool, kept: bool) -> None:
    assert activity({"event": "cart_emptied", "cart_url": url}, is_public=is_public).cart_url == (url if kept else "")


def test_an_events_identities_are_hashed_and_linked_under_the_key_of_each() -> None:
    event = {
        "event": "contact_captured",
        "customer_id": "u1",
        "anonymous_id": "a1",
        "email": "Shopper@Example.com",
        "phone": "600 000 000",
    }
    records = read(event).records
    expected = (
        hashed("customer", "u1"),
        hashed("anonymous", "a1"),
        hashed("email", "shopper@example.com"),
        hashed("phone", "+34600000000"),
    )
    updated = next(one for one in records if isinstance(one, CustomerUpdated))
    links = [one for one in records if isinstance(one, IdentitiesLinked)]
    assert (updated.customer_id, updated.email, updated.phone) == ("u1", "shopper@example.com", "+34600000000")
    assert {one.customer_id for one in links} == {"u1", "a1", expected[2], expected[3]}
    last = records[-1]
    assert isinstance(last, CartActivity)
    assert [one.identities for one in links] == [expected] * 4
    assert updated.identities == last.identities == expected


@pytest.mark.parametrize(
    ("who", "key"),
    [
        ({"customer_id": "u1", "anonymous_id": "a1"}, "u1"),
        ({"anonymous_id": "a1", "email": "shopper@example.com"}, "a1"),
        ({"email": "shopper@example.com"}, hashed("email", "shopper@example.com")),
        ({"customer_id": "shopper@example.com"}, hashed("customer", "shopper@example.com")),
        ({"anonymous_id": "shopper@example.com"}, hashed("anonymous", "shopper@example.com")),
        ({}, "cart:c1"),
    ],
)
def test_the_shoppers_key_is_the_strongest_identity(who: dict[str, str], key: str) -> None:
    assert activity({"event": "cart_emptied", **who}).customer_id == key


def test_an_event_without_a_cart_counts_for_the_open_cart_else_for_one_that_stands_for_the_shopper() -> None:
    event = read({"event": "cart_emptied", "cart_id": "", "anonymous_id": "a1"})
    assert event.wants_cart
    assert tied(event, "c7").cart_id == "c7"
    assert tied(event, None).cart_id == "shopper:a1"


@pytest.mark.parametrize(
    ("agent", "marks"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ("bot",)),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0", ("bot",)),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 Chrome/120 Mobile", ()),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1", ()),
        ("", ()),
    ],
)
def test_agents_that_declare_themselves_bots_are_marked(agent: str, marks: tuple[str, ...]) -> None:
    assert activity({"event": "cart_emptied"}, user_agent=agent).marks == marks
    assert activity({"event": "cart_emptied", "user_agent": agent}).marks == marks


def test_of_a_great_many_mistakes_the_first_are_told_and_one_name_is_guessed() -> None:
    unknown = {f"cart_idd{number}": 1 for number in range(200)}
    with pytest.raises(ValidationError) as error:
        CartEvent.model_validate({"event": "cart_emptied", **unknown})
    flaws = flaws_of(error.value, CartEvent)
    assert [flaw.field for flaw in flaws] == [f"/cart_idd{number}" for number in range(MOST_FLAWS)]
    assert [flaw.detail for flaw in flaws[:2]] == ["no such field; is cart_id meant?", "no such field"]
