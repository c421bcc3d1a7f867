"""Orders and customers of the native source."""

from typing import Any

import pytest

from services.ingest.adapters.native import customer, order
from services.ingest.adapters.seam import Refused
from services.ingest.api.payloads import Customer, Order
from services.ingest.domain.persons import Standing
from services.ingest.domain.settlement import settled, tied
from services.ingest.domain.translation import Translation
from tests.unit.ingest.given import NOW, arrival, hashed
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.money import Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.products import Product


def ordered(event: dict[str, Any], **changes: Any) -> Translation:
    return order(Order.model_validate({"order_id": "o1", **event}), arrival(is_public=False, **changes))


def told(event: dict[str, Any], **changes: Any) -> Translation:
    return customer(Customer.model_validate({"event_id": "e1", **event}), arrival(**{"is_public": False, **changes}))


def words(event: dict[str, Any], **changes: Any) -> list[ConsentChanged]:
    return [one for one in told(event, **changes).records if isinstance(one, ConsentChanged)]


def test_an_order_is_told_to_the_gate_and_to_its_cart() -> None:
    placed, updated, *links, ended = ordered(
        {"cart_id": "c1", "customer_id": "u1", "email": "shopper@example.com", "total": "34.90"}
    ).records
    assert isinstance(placed, OrderPlaced)
    assert isinstance(updated, CustomerUpdated)
    assert isinstance(ended, CartActivity)
    assert len(links) == 2
    assert placed.identities == (hashed("customer", "u1"), hashed("email", "shopper@example.com"))
    assert (placed.order_id, placed.cart_id, placed.total) == ("o1", "c1", Money(minor=3490, currency="EUR"))
    assert (ended.kind, ended.cart_id, ended.order_id, ended.total) == ("order_placed", "c1", "o1", placed.total)


def test_an_order_without_a_cart_ends_the_shoppers_open_one() -> None:
    event = ordered({"customer_id": "u1"})
    placed, ended = tied(event, "c9").records
    assert (placed.cart_id, ended.cart_id) == ("c9", "c9")  # type: ignore[union-attr]
    placed, ended = tied(event, None).records
    assert (placed.cart_id, ended.cart_id) == ("", "shopper:u1")  # type: ignore[union-attr]


def test_an_order_names_all_identities_known_of_its_buyer_and_no_other_record_does() -> None:
    email, device = hashed("email", "shopper@example.com"), hashed("anonymous", "a1")
    event = ordered({"email": "shopper@example.com"})
    known = settled(event, Standing("c1", (device, email)))
    assert [(type(one), one.identities) for one in known.records if not isinstance(one, ConsentChanged | Product)] == [
        (OrderPlaced, (email, device)),
        (CustomerUpdated, (email,)),
        (CartActivity, (email,)),
    ]
    assert [one.id for one in known.records] == [one.id for one in event.records]


def test_an_order_of_nobody_without_a_cart_is_an_order_all_the_same() -> None:
    (placed,) = ordered({"total": 10}).records
    assert isinstance(placed, OrderPlaced)


def test_an_unreadable_email_does_not_lose_an_order() -> None:
    event = ordered({"cart_id": "c1", "email": "n/a", "phone": "-"})
    assert isinstance(event.records[0], OrderPlaced)
    assert {flaw.field for flaw in event.left_out} == {"/email", "/phone"}


@pytest.mark.parametrize("change", ["paid", "refunded", "cancelled"])
def test_what_becomes_of_an_order_is_a_change_and_ends_no_cart(change: str) -> None:
    (changed,) = ordered({"event": f"order_{change}", "event_id": "e1", "cart_id": "c1", "refunded": 5}).records
    assert isinstance(changed, OrderChanged)
    assert (changed.change, changed.order_id, changed.refunded) == (change, "o1", Money(minor=500, currency="EUR"))


def test_two_refunds_must_be_told_apart_but_an_order_tells_itself() -> None:
    with pytest.raises(Refused):
        ordered({"event": "order_refunded", "refunded": 5})
    assert ordered({"total": 5}).event_id


def test_a_shops_numbers_for_orders_and_for_events_do_not_collide() -> None:
    records = [
        *ordered({"event_id": "77", "cart_id": "c1"}).records,
        *told({"event_id": "77", "customer_id": "u"}).records,
    ]
    assert len({record.id for record in records}) == len(records)


def test_a_customers_traits_identities_and_consent_become_records() -> None:
    event = {
        "customer_id": "u1",
        "email": "Shopper@Example.com",
        "first_name": "Ünï",
        "properties": {"tier": "gold", "age": 40, "vip": True},
        "removed": ["phone"],
        "consent": [{"channel": "email", "state": "granted", "by": "person", "evidence": "checkout form"}],
    }
    updated, *links, word = told(event).records
    assert isinstance(updated, CustomerUpdated)
    assert isinstance(word, ConsentChanged)
    assert all(isinstance(one, IdentitiesLinked) for one in links)
    assert (updated.first_name, updated.removed) == ("Ünï", ("phone",))
    assert updated.properties == {"tier": "gold", "age": "40", "vip": "true"}
    assert (word.address_hash, word.by, word.evidence) == (
        hashed("email", "shopper@example.com"),
        "person",
        "checkout form",
    )


def test_a_public_key_speaks_for_the_person_only() -> None:
    said = {"channel": "email", "state": "revoked"}
    assert words({"email": "shopper@example.com", "consent": [said]}, is_public=True)[0].by == "person"
    assert words({"email": "shopper@example.com", "consent": [said]}, is_public=False)[0].by == "shop"
    with pytest.raises(Refused) as refused:
        told({"email": "shopper@example.com", "consent": [{**said, "by": "sync"}]}, is_public=True)
    assert [flaw.field for flaw in refused.value.errors] == ["/consent/0/by"]


def test_consent_on_a_channel_is_about_its_own_address() -> None:
    event = {
        "customer_id": "u1",
        "phone": "+34600000000",
        "consent": [
            {"channel": "sms", "state": "granted"},
            {"channel": "push", "state": "granted", "address": "device-token"},
        ],
    }
    assert [word.address_hash for word in words(event)] == [
        hashed("phone", "+34600000000"),
        hashed("device", "device-token"),
    ]
    with pytest.raises(Refused) as refused:
        told({"customer_id": "u1", "consent": [{"channel": "email", "state": "revoked"}]})
    assert [flaw.field for flaw in refused.value.errors] == ["/consent/0/address"]


def test_a_no_with_an_unset_clock_counts_from_its_arrival_and_an_old_yes_stays_old() -> None:
    def word(state: str, at: str) -> dict[str, Any]:
        said = {"channel": "email", "state": state, "occurred_at": at}
        return {"email": "shopper@example.com", "consent": [said]}

    assert words(word("revoked", "1970-01-01T00:00:00Z"))[0].occurred_at == NOW
    assert words(word("granted", "1970-01-01T00:00:00Z"))[0].occurred_at == 1
    assert words(word("granted", "2020-01-01T00:00:00Z"))[0].occurred_at == 1_577_836_800_000
    assert words(word("granted", "2999-01-01T00:00:00Z"))[0].occurred_at == NOW


def test_a_customers_unreadable_address_is_refused_since_the_event_is_about_it() -> None:
    with pytest.raises(Refused) as refused:
        told({"customer_id": "u1", "email": "nobody"})
    assert [flaw.field for flaw in refused.value.errors] == ["/email"]
