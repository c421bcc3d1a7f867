"""The Segment adapter: each call of the specification, and calls that nobody wrote after it."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.adapters.seam import Refused
from services.ingest.adapters.segment import translation
from services.ingest.adapters.segment.history import imported
from services.ingest.domain.settlement import sighting_of
from services.ingest.domain.translation import Flaw, Translation
from tests.unit.ingest.given import NOW, arrival, hashed
from tests.unit.ingest.segment_calls import BROWSER, CARDS, GAME, ORDER, identify, track
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.envelope import rfc3339


def read(call: Any, **changes: Any) -> Translation:
    return translation(call, arrival(**changes))


def activities(call: dict[str, Any], **changes: Any) -> list[CartActivity]:
    return [record for record in read(call, **changes).records if isinstance(record, CartActivity)]


def activity(call: dict[str, Any], **changes: Any) -> CartActivity:
    (one,) = activities(call, **changes)
    return one


def left_out(call: dict[str, Any], **changes: Any) -> set[str]:
    return {flaw.field for flaw in read(call, **changes).left_out}


def of_type(kind: type, call: dict[str, Any]) -> list[Any]:
    return [record for record in read(call).records if isinstance(record, kind)]


# --- carts


@pytest.mark.parametrize(
    ("event", "properties", "kinds"),
    [
        ("Product Viewed", GAME, ["product_viewed"]),
        ("Product Clicked", GAME, ["product_viewed"]),
        ("Product Added", GAME, ["lines_added"]),
        ("Product Removed", GAME, ["lines_added"]),
        ("Product Removed", {"product_id": "p-1"}, ["lines_removed"]),
        ("Cart Viewed", {"cart_id": "c-1", "products": [GAME, CARDS]}, ["snapshot"]),
        ("Cart Viewed", {"cart_id": "c-1", "products": []}, ["snapshot"]),
        ("Cart Viewed", {"cart_id": "c-1"}, ["browsed"]),
        ("Checkout Started", ORDER, ["snapshot", "checkout_step"]),
        ("Checkout Started", {}, ["checkout_step"]),
        ("Checkout Step Viewed", {"checkout_id": "k", "step": 2}, ["checkout_step"]),
        ("Checkout Step Completed", {"checkout_id": "k", "step": 2}, ["checkout_step"]),
        ("Payment Info Entered", {"checkout_id": "k"}, ["checkout_step"]),
        ("Products Searched", {"query": "blue"}, ["browsed"]),
        ("Product List Viewed", {"list_id": "l", "products": [GAME]}, ["browsed"]),
        ("Coupon Applied", {"coupon_id": "MAY", "discount": 5}, ["browsed"]),
        ("Product Added to Wishlist", GAME, ["browsed"]),
        ("Wishlist Product Added to Cart", GAME, ["lines_added"]),
        ("Order Updated", ORDER, []),
        ("Newsletter Read", {}, []),
        ("Added Product", GAME, ["lines_added"]),
        ("product_added", GAME, ["lines_added"]),
    ],
)
def test_each_event_of_the_specification_becomes_its_activity(
    event: str, properties: dict[str, Any], kinds: list[str]
) -> None:
    found = activities(track(event, properties))
    assert [one.kind for one in found] == kinds
    assert len({one.id for one in found}) == len(kinds)


def test_an_activity_has_the_shopper_the_device_and_the_time_of_its_call() -> None:
    one = activity(track("Product Added", {**GAME, "cart_id": "c-1"}))
    assert (one.store_id, one.cart_id, one.source, one.source_event_id) == ("store-1", "c-1", "segment", "ajs-next-1")
    assert (one.customer_id, one.anonymous_id, one.identities) == ("a-1", "a-1", (hashed("anonymous", "a-1"),))
    assert (one.locale, one.time_zone, one.device, one.marks) == ("en-GB", "Europe/London", "desktop", ())
    assert one.occurred_at == NOW - 60_000


def test_a_line_has_its_product_its_variant_and_its_price_in_the_stores_currency() -> None:
    (line,) = activity(track("Product Added", GAME)).lines
    assert (line.line_id, line.product_id, line.variant_id) == ("p-1:200 pieces", "p-1", "200 pieces")
    assert (line.quantity, line.unit_price) == (1, Money(minor=1899, currency="EUR"))
    assert (line.name, line.category, line.brand) == ("A board game", "Games", "Example Games")
    assert (line.url, line.image_url) == (GAME["url"], GAME["image_url"])


def test_a_removal_takes_out_as_many_as_it_says() -> None:
    (line,) = activity(track("Product Removed", {**GAME, "quantity": 2})).lines
    assert line.quantity == -2


def test_the_same_product_twice_in_a_list_is_one_line_of_both() -> None:
    lines = activity(track("Cart Viewed", {"products": [CARDS, CARDS, GAME]})).lines
    assert [(line.product_id, line.quantity) for line in lines] == [("p-2", 4), ("p-1", 1)]


def test_a_cart_is_found_again_where_it_was_viewed() -> None:
    assert activity(track("Cart Viewed", {"products": []})).cart_url == "https://shop.example.com/cart"
    elsewhere = {**BROWSER, "page": {"url": "https://evil.example.net/"}}
    assert activity(track("Cart Viewed", {"products": []}, context=elsewhere)).cart_url == ""


def test_a_clock_that_is_wrong_is_corrected_by_its_own_time_of_sending() -> None:
    call = track("Product Added", GAME, timestamp="2020-01-01T00:00:00Z", sentAt="2020-01-01T00:10:00Z")
    assert activity(call).occurred_at == NOW - 600_000


def test_a_call_that_went_through_segment_has_its_corrected_time() -> None:
    times = {
        "originalTimestamp": "2020-01-01T00:00:00Z",
        "sentAt": "2020-01-01T00:10:00Z",
        "receivedAt": rfc3339(NOW - 50_000),
        "timestamp": rfc3339(NOW - 90_000),
    }
    assert activity(track("Product Added", GAME, **times)).occurred_at == NOW - 90_000


def test_bots_that_say_so_are_marked() -> None:
    crawler = {**BROWSER, "userAgent": "Mozilla/5.0 (compatible; examplebot/2.1; +http://example.com/bot.html)"}
    assert activity(track("Product Viewed", GAME, context=crawler)).marks == ("bot",)


def test_an_order_ends_its_cart_whatever_its_agent_is_called() -> None:
    crawler = {**BROWSER, "userAgent": "Mozilla/5.0 (compatible; examplebot/2.1; +http://example.com/bot.html)"}
    records = translation(track("Order Completed", ORDER, context=crawler), arrival()).records
    (ended,) = [one for one in records if isinstance(one, CartActivity)]
    assert (ended.kind, ended.marks) == ("order_placed", ())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"price": -1}, "/properties/price"),
        ({"price": "1e400"}, "/properties/price"),
        ({"price": "12,50"}, "/properties/price"),
        ({"price": {"amount": 3}}, "/properties/price"),
        ({"quantity": 1.5}, "/properties/quantity"),
        ({"quantity": -1}, "/properties/quantity"),
        ({"currency": "dollars"}, "/properties/currency"),
        ({"url": "/games/p-1"}, "/properties/url"),
        ({"email": "nobody"}, "/properties/email"),
        ({"cart_id": "c\n1"}, "/properties/cart_id"),
    ],
)
def test_what_cannot_be_read_is_left_out_and_said_to_be(changed: dict[str, Any], field: str) -> None:
    call = track("Product Added", {**GAME, **changed})
    assert field in left_out(call)
    assert activity(call).lines[0].product_id == "p-1"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ([], ""),
        ({"type": "dance"}, "/type"),
        (track(""), "/event"),
        (track("Product Added", GAME, anonymousId=None), "/userId"),
        (track("Product Added", {"name": "nameless"}), "/properties/product_id"),
        (track("Order Refunded", {"total": 3}), "/properties/order_id"),
        ({"type": "alias", "userId": "u-1", "messageId": "m"}, "/previousId"),
        ({"type": "identify", "traits": {}}, "/userId"),
    ],
)
def test_a_call_without_what_it_is_about_is_refused_with_the_field(call: Any, field: str) -> None:
    with pytest.raises(Refused) as refused:
        read(call)
    assert field in {flaw.field for flaw in refused.value.errors}


def test_an_id_comes_from_the_message_id_and_else_from_the_call_itself() -> None:
    first, again = track("Product Added", GAME), track("Product Added", CARDS)
    assert read(first).event_id == read(again).event_id
    bare = {**first, "messageId": None, "timestamp": None}
    assert read(bare, raw_hash="one").event_id != read(bare, raw_hash="other").event_id
    assert left_out(bare) == {"/messageId"}


# --- orders


def test_a_completed_order_is_placed_with_its_amounts_and_ends_its_cart() -> None:
    call = track("Order Completed", {**ORDER, "email": "Shopper@Example.com"}, userId="u-1")
    (placed,) = of_type(OrderPlaced, call)
    assert (placed.order_id, placed.total, placed.discount) == ("order-1", usd(2750), usd(250))
    assert (placed.shipping, placed.tax, placed.coupons) == (usd(300), usd(200), ("MAY",))
    assert [line.quantity for line in placed.lines] == [1, 2]
    assert set(placed.identities) == {
        hashed("customer", "u-1"),
        hashed("anonymous", "a-1"),
        hashed("email", "shopper@example.com"),
        hashed("checkout", "checkout-1"),
    }
    ended = activity(call)
    assert (ended.kind, ended.order_id, ended.total, ended.cart_id) == ("order_placed", "order-1", usd(2750), "")
    sighting = sighting_of(read(call))
    assert sighting is not None
    assert sighting.ends_cart


@pytest.mark.parametrize(
    ("amounts", "minor"),
    [
        ({"value": 30}, 3000),
        ({"revenue": 25, "shipping": 3, "tax": "2"}, 3000),
        ({"revenue": 25}, 2500),
        ({"total": 0.1 + 0.2}, 30),
        ({"total": "19.90"}, 1990),
        ({"total": "free"}, 0),
    ],
)
def test_what_was_paid_is_the_total_else_revenue_with_shipping_and_tax(amounts: dict[str, Any], minor: int) -> None:
    (placed,) = of_type(OrderPlaced, track("Order Completed", {"order_id": "o", **amounts}))
    assert placed.total.minor == minor


def test_P3_an_order_that_lacks_nearly_everything_still_ends_the_reminders() -> None:
    call = track("Order Completed", {"total": "free", "products": "none", "currency": 7})
    (placed,) = of_type(OrderPlaced, call)
    assert placed.order_id == read(call).event_id
    assert placed.identities == (hashed("anonymous", "a-1"),)
    assert activity(call).kind == "order_placed"


@pytest.mark.parametrize(
    "integrations", [{"Trolleybus": False}, {"All": False}, {"All": False, "Some Warehouse": True}]
)
def test_a_call_that_is_not_for_us_makes_no_record_but_for_an_order(integrations: dict[str, Any]) -> None:
    assert read(track("Product Added", GAME, integrations=integrations)).records == ()
    assert read(identify({"email": "shopper@example.com"}, integrations=integrations)).records == ()
    assert of_type(OrderPlaced, track("Order Completed", ORDER, integrations=integrations))


def test_a_call_that_names_us_is_for_us() -> None:
    assert activities(track("Product Added", GAME, integrations={"All": False, "Trolleybus": True}))


def test_refunds_and_cancellations_change_the_order() -> None:
    (refunded,) = of_type(OrderChanged, track("Order Refunded", {"order_id": "o", "total": 30, "currency": "usd"}))
    assert (refunded.change, refunded.refunded, refunded.order_id) == ("refunded", usd(3000), "o")
    (cancelled,) = of_type(OrderChanged, track("Order Cancelled", ORDER))
    assert (cancelled.change, cancelled.refunded) == ("cancelled", Money())


# --- people


def test_identify_tells_who_the_shopper_is_and_links_the_visitor() -> None:
    traits = {
        "email": " Shopper@Example.com ",
        "phone": "600 000 000",
        "name": "Alex Example",
        "plan": "premium",
        "logins": 5,
        "vip": True,
        "nickname": None,
        "company": {"name": "left out"},
        "address": {"street": "6th Street", "city": "Example", "country": "es"},
        "locale": "es_ES",
    }
    (updated,) = of_type(CustomerUpdated, identify(traits))
    assert (updated.customer_id, updated.anonymous_id) == ("u-1", "a-1")
    assert (updated.email, updated.phone) == ("shopper@example.com", "+34600000000")
    assert (updated.first_name, updated.last_name) == ("Alex", "Example")
    assert (updated.locale, updated.country, updated.time_zone) == ("es-ES", "ES", "Europe/London")
    assert (updated.properties, updated.removed) == ({"plan": "premium", "logins": "5", "vip": "true"}, ("nickname",))
    links = of_type(IdentitiesLinked, identify(traits))
    assert {link.customer_id for link in links} >= {"u-1", "a-1", hashed("email", "shopper@example.com")}
    assert {link.reason for link in links} == {"identify"}


def test_an_address_in_the_place_of_an_id_is_an_address() -> None:
    (updated,) = of_type(CustomerUpdated, identify({}, userId="Shopper@example.com"))
    assert (updated.customer_id, updated.email) == ("a-1", "shopper@example.com")
    assert hashed("email", "shopper@example.com") in updated.identities


def test_alias_links_the_former_id_as_visitor_and_as_customer_under_each_key() -> None:
    links = of_type(IdentitiesLinked, {"type": "alias", "messageId": "m", "userId": "u-1", "previousId": "old-1"})
    assert {link.customer_id for link in links} == {"u-1", "old-1"}
    assert len({link.id for link in links}) == len(links)
    for link in links:
        assert link.reason == "merge"
        assert set(link.identities) == {
            hashed("customer", "u-1"),
            hashed("customer", "old-1"),
            hashed("anonymous", "old-1"),
        }


@pytest.mark.parametrize("kind", ["page", "screen", "group"])
def test_page_screen_and_group_calls_are_taken_and_make_no_record(kind: str) -> None:
    told = read({**track("ignored"), "type": kind})
    assert (told.kind, told.records) == (kind, ())


# --- the past


def test_an_imported_call_arrived_when_it_says() -> None:
    call = track("Product Added", GAME, timestamp="2024-05-01T10:00:00Z", receivedAt="2024-05-01T10:00:05Z")
    (one,) = [record for record in imported(call, arrival()).records if isinstance(record, CartActivity)]
    assert one.imported
    assert (rfc3339(one.received_at), rfc3339(one.occurred_at)) == (
        "2024-05-01T10:00:05.000Z",
        "2024-05-01T10:00:00.000Z",
    )


def test_a_call_of_the_past_without_a_time_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        imported(track("Product Added", GAME, timestamp=None, sentAt=None), arrival())
    assert refused.value.errors[0] == Flaw(
        "/timestamp", "a message of the past carries its timestamp, of 2000 or later"
    )


# --- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    *("type", "event", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "receivedAt", "context", "traits"),
    *("properties", "integrations", "previousId"),
]
PARTS = [
    *("products", "product_id", "sku", "price", "quantity", "currency", "total", "revenue", "order_id", "cart_id"),
    *(
        "email",
        "phone",
        "step",
        "address",
        "url",
        "name",
        "coupon",
        "page",
        "device",
        "userAgent",
        "locale",
        "timezone",
    ),
]
EVENTS = ["Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Order Completed", "Order Refunded"]
PART = st.dictionaries(st.sampled_from(PARTS), JSON, max_size=6)
CALL = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NAMES, JSON | PART),
        "type": st.sampled_from(["track", "track", "identify", "alias", "page"]) | JSON,
        "event": st.sampled_from(EVENTS) | JSON,
        "properties": PART | st.fixed_dictionaries({"products": st.lists(PART, max_size=3)}),
        "anonymousId": st.just("a-1") | JSON,
        "traits": PART,
    },
)


@given(CALL | JSON)
@example({"type": "track", "event": "Order Completed", "properties": {"order_id": 10**5000}})
@example({"type": "track", "event": "Product Added", "userId": "\ud800", "anonymousId": "a", "properties": {"id": 1}})
@example({"type": "identify", "userId": "u", "traits": {"name": "\ud800", "x\ud800": 1, "plan": "\x00"}})
def test_P8_whatever_a_call_holds_it_is_told_or_refused(call: Any) -> None:
    try:
        told = read(call)
    except Refused:
        return
    orjson.dumps(told.records)  # Fails for a text that no record can carry.


def usd(minor: int) -> Money:
    return Money(minor=minor, currency="USD")
