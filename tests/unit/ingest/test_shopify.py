"""The Shopify adapter: what each webhook becomes."""

import json
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.adapters.seam import Refused
from services.ingest.adapters.shopify import TOPICS, topic_of
from services.ingest.domain.settlement import sighting_of, tied
from services.ingest.domain.translation import Canonical
from tests.unit.ingest.given import NOW, STORE, hashed
from tests.unit.ingest.shopify_given import TRIGGERED_MS, body, read
from trolleybus.codec import to_dict
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.permission import Permission, fold
from trolleybus.contracts.privacy import PrivacyRequested
from trolleybus.contracts.products import Product
from trolleybus.contracts.values import cart_value

CART = "hWN2bG9yZW1pcHN1bWRvbG9yc2l0"
CHECKOUT = "5f47abde83b5d4a079cd5489c9bc6fa2"
CHECKOUT_ID = "981820079255243537"
DAY = 86_400_000
R = TypeVar("R", bound=Canonical)


def gbp(minor: int) -> Money:
    return Money(minor=minor, currency="GBP")


def only(kind: type[R], topic: str, payload: Any = ..., **changes: Any) -> R:
    (found,) = (one for one in read(topic, payload, **changes).records if isinstance(one, kind))
    return found


def kinds(topic: str, payload: Any = ...) -> list[str]:
    return [type(one).__name__ for one in read(topic, payload).records]


def test_a_cart_is_a_snapshot_at_the_time_it_was_triggered_at() -> None:
    cart = only(CartActivity, "carts/update")
    assert (cart.kind, cart.cart_id, cart.currency) == ("snapshot", CART, "GBP")
    assert (cart.occurred_at, cart.received_at) == (TRIGGERED_MS, NOW)
    assert (cart.source, cart.source_event_id, cart.config_version) == ("shopify", "event-1", STORE.version)
    mug, spoon = cart.lines
    assert (mug.product_id, mug.variant_id, mug.name, mug.quantity) == (
        "7110622675033",
        "40094740545625",
        "Blue mug",
        2,
    )
    assert (mug.unit_price, mug.discount, mug.brand) == (gbp(1250), gbp(250), "Example Potters")
    assert mug.image_url == "https://cdn.example.com/mug-blue.jpg"
    assert (spoon.unit_price, spoon.discount) == (gbp(300), gbp(0))
    assert cart_value(cart.lines, cart.discount, cart.currency) == gbp(2550)


def test_a_cart_without_lines_is_an_emptied_one_and_its_shopper_is_the_cart() -> None:
    cart = only(CartActivity, "carts/create")
    assert (cart.kind, cart.lines, cart.currency) == ("snapshot", (), STORE.currency)
    assert (cart.customer_id, cart.identities) == (f"cart:{CART}", (hashed("cart", CART),))
    assert kinds("carts/create") == ["CartActivity"]


def test_a_carts_attribute_ties_it_to_the_visitor_of_the_shops_pages() -> None:
    cart = only(CartActivity, "carts/update")
    assert (cart.customer_id, cart.anonymous_id) == ("visitor-9", "visitor-9")
    links = [one for one in read("carts/update").records if isinstance(one, IdentitiesLinked)]
    assert {one.customer_id for one in links} == {"visitor-9", f"cart:{CART}"}
    assert {one.identities for one in links} == {(hashed("anonymous", "visitor-9"), hashed("cart", CART))}


def test_without_a_time_of_triggering_the_bodys_own_time_holds() -> None:
    assert only(CartActivity, "carts/update", triggered_at=None).occurred_at == 1_772_389_799_801
    assert only(
        CartActivity, "carts/update", body("carts/update", updated_at="soon"), triggered_at=None
    ).occurred_at == (1_772_387_881_120)
    unknown = body("carts/update", updated_at=None, created_at=None)
    assert only(CartActivity, "carts/update", unknown, triggered_at=None).occurred_at == NOW


def test_a_checkout_is_a_snapshot_of_its_cart_with_contact_step_and_way_back() -> None:
    cart = only(CartActivity, "checkouts/update")
    assert (cart.kind, cart.cart_id, cart.step) == ("snapshot", CART, "shipping")
    assert (cart.customer_id, cart.email, cart.phone) == ("207119551", "shopper@example.com", "+34600000000")
    assert cart.cart_url.endswith("/recover?key=1a2b")
    assert (cart.locale, cart.country) == ("es-ES", "ES")
    assert cart.lines[0].name == "Blue mug - Large"
    assert cart.lines[1].product_id == "Engraving"
    # Free shipping is among its total_discounts, and none of the cart's.
    assert cart_value(cart.lines, cart.discount, cart.currency) == gbp(2550)
    assert set(cart.identities) == {
        hashed("customer", "207119551"),
        hashed("anonymous", "visitor-9"),
        hashed("email", "shopper@example.com"),
        hashed("phone", "+34600000000"),
        hashed("cart", CART),
        hashed("checkout", CHECKOUT),
        hashed("checkout", CHECKOUT_ID),
    }


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"email": None, "phone": None, "customer": None, "shipping_address": None}, "started"),
        ({"shipping_address": None}, "contact"),
        ({}, "shipping"),
        ({"shipping_lines": [{"title": "Standard", "price": "5.00"}]}, "payment"),
    ],
)
def test_a_checkouts_step_is_the_furthest_that_it_shows(changes: dict[str, Any], step: str) -> None:
    assert only(CartActivity, "checkouts/update", body("checkouts/update", **changes)).step == step


def test_a_completed_checkout_brings_no_contents_back_into_a_cart_that_was_ordered() -> None:
    done = only(CartActivity, "checkouts/update", body("checkouts/update", completed_at="2026-03-01T18:40:02Z"))
    assert (done.kind, done.step, done.lines) == ("checkout_step", "completed", ())


def test_a_checkout_without_a_cart_is_a_cart_of_its_own() -> None:
    assert only(CartActivity, "checkouts/update", body("checkouts/update", cart_token=None)).cart_id == CHECKOUT


def test_P3_an_order_names_its_cart_and_every_identity_of_its_buyer() -> None:
    order = only(OrderPlaced, "orders/create")
    assert (order.order_id, order.cart_id, order.customer_id) == ("5223452934372", CART, "207119551")
    assert set(order.identities) >= set(only(CartActivity, "checkouts/update").identities)
    assert (order.total, order.discount, order.shipping, order.tax) == (gbp(3050), gbp(250), gbp(500), gbp(425))
    assert (order.coupons, order.country, order.occurred_at) == (("SPRING",), "ES", TRIGGERED_MS)
    assert [line.name for line in order.lines] == ["Blue mug - Large", "Engraving"]
    ended = only(CartActivity, "orders/create")
    assert (ended.kind, ended.cart_id, ended.order_id, ended.total) == ("order_placed", CART, order.order_id, gbp(3050))
    sighting = sighting_of(read("orders/create"))
    assert sighting is not None
    assert sighting.ends_cart


def test_P3_an_order_without_a_cart_token_ends_the_cart_that_is_known_else_its_checkouts() -> None:
    order = read("orders/create", body("orders/create", cart_token=None))
    assert order.wants_cart
    for known, cart_id in ((CART, CART), (None, CHECKOUT)):
        done = tied(order, known)
        assert done.cart_id == cart_id
        assert [one.id for one in done.records] == [one.id for one in order.records]


def test_an_order_that_cannot_be_read_but_for_its_id_is_an_order() -> None:
    order = read(
        "orders/create", {"id": 7, "email": "nobody", "total_price": "much", "line_items": "none", "customer": 3}
    )
    assert [type(one) for one in order.records] == [OrderPlaced]
    assert {flaw.field for flaw in order.left_out} == {"/email", "/total_price"}
    with pytest.raises(Refused):
        read("orders/create", {"email": "shopper@example.com"})


def test_an_amount_that_cannot_be_paid_is_left_out_of_what_happened() -> None:
    line = {"key": "1", "product_id": 7, "quantity": 100_000, "price": "99999999999.00"}
    assert only(CartActivity, "carts/update", body("carts/update", line_items=[line])).lines == ()
    cart = read(
        "carts/create", body("carts/create", line_items=[line | {"quantity": 1}]), store=replace(STORE, currency="")
    )
    (activity,) = (one for one in cart.records if isinstance(one, CartActivity))
    assert [one.unit_price for one in activity.lines] == [Money()]  # A price without any currency is none.
    assert [flaw.field for flaw in cart.left_out] == ["/line_items/0/price"]


def test_the_identity_map_learns_nothing_of_who_wants_to_be_forgotten() -> None:
    assert sighting_of(read("customers/redact")) is None
    assert sighting_of(read("customers/update")) is not None


def test_an_order_brought_in_from_elsewhere_was_placed_when_it_was_processed() -> None:
    old = body("orders/create", processed_at="2025-06-01T00:00:00Z")
    assert only(OrderPlaced, "orders/create", old).occurred_at == 1_748_736_000_000
    just_now = body("orders/create", processed_at="2026-02-28T20:00:00Z")
    assert only(OrderPlaced, "orders/create", just_now).occurred_at == TRIGGERED_MS


@pytest.mark.parametrize(
    ("topic", "change", "reason"), [("orders/paid", "paid", ""), ("orders/cancelled", "cancelled", "customer")]
)
def test_what_becomes_of_an_order_is_told_of_it(topic: str, change: str, reason: str) -> None:
    changed = only(OrderChanged, topic)
    assert (changed.order_id, changed.change, changed.reason) == ("5223452934372", change, reason)
    assert changed.identities == only(OrderPlaced, "orders/create").identities


def test_a_refund_is_what_was_given_back_in_the_shops_own_currency() -> None:
    refund = only(OrderChanged, "refunds/create")
    assert (refund.order_id, refund.change, refund.refunded) == ("5223452934372", "refunded", gbp(1350))
    assert (refund.reason, refund.identities) == ("one came broken", ())


def test_a_customer_brings_traits_links_and_words() -> None:
    customer = only(CustomerUpdated, "customers/update")
    assert (customer.customer_id, customer.email, customer.phone) == (
        "207119551",
        "shopper@example.com",
        "+34600000000",
    )
    assert (customer.first_name, customer.locale, customer.country) == ("Ada", "es", "ES")
    assert customer.properties["tags"] == "loyal, mugs"
    links = [one for one in read("customers/update").records if isinstance(one, IdentitiesLinked)]
    assert len({one.id for one in links}) == len(links) == 3
    assert {one.reason for one in links} == {"identify"}


def words(**changes: Any) -> dict[str, ConsentChanged]:
    records = read("customers/update", body("customers/update", **changes)).records
    return {one.channel: one for one in records if isinstance(one, ConsentChanged)}


def test_P5_a_yes_at_shopify_is_a_sync_and_a_no_is_the_persons() -> None:
    said = words()
    assert (said["email"].state, said["email"].by) == ("granted", "sync")
    assert (said["sms"].state, said["sms"].by) == ("revoked", "person")
    assert said["email"].address_hash == hashed("email", "shopper@example.com")
    assert said["sms"].address_hash == hashed("phone", "+34600000000")
    assert said["email"].occurred_at == 1_767_607_200_000  # When the word was given, not when the customer was updated.
    assert said["email"].evidence == "Shopify: subscribed, confirmed_opt_in"


def test_P5_no_sync_from_shopify_undoes_a_persons_own_no() -> None:
    no = fold(Permission(), ConsentChanged(state="revoked", by="person", occurred_at=NOW - 100 * DAY), NOW - 100 * DAY)
    yes = words(email_marketing_consent={"state": "subscribed", "consent_updated_at": "2026-05-01T00:00:00Z"})["email"]
    assert yes.occurred_at > NOW - 100 * DAY
    assert fold(no, yes, NOW).state() == "revoked"


@pytest.mark.parametrize("state", ["not_subscribed", "pending", "", None, 7])
def test_what_is_no_word_is_none(state: object) -> None:
    assert "email" not in words(email_marketing_consent={"state": state})


def test_a_yes_without_a_date_is_as_old_as_the_customer_and_without_that_is_none() -> None:
    undated = {"state": "subscribed", "consent_updated_at": None}
    assert words(email_marketing_consent=undated)["email"].occurred_at == 1_761_991_200_000
    assert "email" not in words(email_marketing_consent=undated, created_at=None)


def test_a_product_is_one_record_with_the_price_of_what_can_be_bought() -> None:
    product = only(Product, "products/update")
    assert (product.product_id, product.name, product.brand) == ("7110622675033", "Blue mug", "Example Potters")
    assert (product.category, product.stock, product.available) == ("Mugs", 6, True)
    assert product.price == Money(minor=1250, currency="EUR")  # Of the store: a product has no currency of its own.
    assert product.compare_at_price.minor == 1500
    assert product.url == "https://www.shop.example.com/products/blue-mug"
    assert product.image_url == "https://cdn.example.com/mug.jpg"


@pytest.mark.parametrize("changes", [{"status": "draft"}, {"published_at": None}])
def test_a_product_that_is_not_published_is_not_available(changes: dict[str, Any]) -> None:
    assert not only(Product, "products/update", body("products/update", **changes)).available


def test_a_product_that_is_not_counted_has_an_unknown_stock() -> None:
    uncounted = body("products/update", variants=[{"id": 1, "price": "5.00", "inventory_management": None}])
    product = only(Product, "products/update", uncounted)
    assert (product.stock, product.available) == (-1, True)


def test_a_request_for_data_is_kept_with_the_day_it_is_due() -> None:
    request = only(PrivacyRequested, "customers/data_request")
    assert (request.kind, request.reference, request.customer_id) == ("access", "9999", "207119551")
    assert request.order_ids == ("299938", "280263")
    assert request.due_at == TRIGGERED_MS + 30 * DAY
    assert hashed("email", "shopper@example.com") in request.identities
    assert kinds("customers/data_request") == ["PrivacyRequested"]


def test_P5_an_erasure_is_kept_and_is_a_no_on_every_channel_without_an_address_in_clear() -> None:
    records = read("customers/redact").records
    assert only(PrivacyRequested, "customers/redact").kind == "erasure"
    nos = [one for one in records if isinstance(one, ConsentChanged)]
    assert {(one.channel, one.state, one.by) for one in nos} == {
        ("email", "revoked", "person"),
        ("sms", "revoked", "person"),
        ("whatsapp", "revoked", "person"),
    }
    assert "shopper@example.com" not in repr(records)
    assert "600000000" not in repr(records)


def test_the_erasure_of_a_store_names_nobody() -> None:
    request = only(PrivacyRequested, "shop/redact")
    assert (request.kind, request.customer_id, request.identities) == ("store_erasure", "", ())


def test_no_record_keeps_an_address_of_the_internet() -> None:
    assert "192.0.2.7" not in repr(read("orders/create").records)


@pytest.mark.parametrize("written", ["carts/update", "CARTS_UPDATE", " Carts/Update", "carts_update"])
def test_a_topic_is_known_however_it_is_written(written: str) -> None:
    assert topic_of(written) == "carts/update"


@pytest.mark.parametrize("written", ["", "carts", "carts/delete", "carts/update/", "\u0131", "fulfillments/create"])
def test_an_unknown_topic_is_none(written: str) -> None:
    assert topic_of(written) == ""


@pytest.mark.parametrize("topic", TOPICS)
def test_a_redelivery_makes_the_same_records_but_for_its_arrival(topic: str) -> None:
    payload = body(topic)
    first, again = read(topic, payload), read(topic, payload, received_at=NOW + 4 * 3_600_000, raw_hash="other")
    assert [one.id for one in first.records] == [one.id for one in again.records]
    assert [one.occurred_at for one in first.records] == [one.occurred_at for one in again.records]
    assert len({one.id for one in first.records}) == len(first.records)
    assert not first.left_out


def test_two_topics_of_one_event_are_two_events() -> None:
    assert read("orders/create").event_id != read("orders/paid").event_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just("1e400"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(topic=st.sampled_from(TOPICS), payload=JSON, triggered_at=st.none() | st.integers())
def test_P8_any_json_becomes_records_or_is_refused(topic: str, payload: Any, triggered_at: int | None) -> None:
    try_reading(topic, payload, triggered_at)


@given(topic=st.sampled_from(TOPICS), data=st.data())
def test_P8_any_value_in_any_field_becomes_records_or_is_refused(topic: str, data: st.DataObject) -> None:
    payload = body(topic)
    target = data.draw(st.sampled_from([payload, *inner_objects(payload)]))
    for name in data.draw(st.lists(st.sampled_from(sorted(target)), max_size=4)):
        target[name] = data.draw(JSON)
    try_reading(topic, payload, TRIGGERED_MS)


def inner_objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        found = [one for inner in value.values() for one in inner_objects(inner)]
        return [value, *found] if value else found
    return [one for inner in value for one in inner_objects(inner)] if isinstance(value, list) else []


def try_reading(topic: str, payload: Any, triggered_at: int | None) -> None:
    try:
        records = read(topic, payload, triggered_at=triggered_at).records
    except Refused:
        return
    for record in records:
        json.dumps(to_dict(record), ensure_ascii=False).encode()  # No half of a character, which Avro could not write.
        assert 0 < record.occurred_at <= NOW
        if isinstance(record, CartActivity):
            assert record.kind == "order_placed" or record.cart_id
