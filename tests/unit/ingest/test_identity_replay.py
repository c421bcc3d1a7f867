"""What the log teaches the identity map."""

from services.ingest.domain.people import Identity
from services.ingest.identity.replay import sighting_in
from tests.unit.ingest.given import HASHER, NOW, STORE, hashed
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import IdentitiesLinked
from trolleybus.contracts.orders import OrderPlaced

CUSTOMER = Identity("customer", hashed("customer", "u1"), "u1")
EMAIL = Identity("email", hashed("email", "shopper@example.com"), hashed("email", "shopper@example.com"))
DEVICE = Identity("anonymous", hashed("anonymous", "a1"), "a1")


def activity(**fields: object) -> CartActivity:
    given = {"store_id": STORE.store_id, "occurred_at": NOW, "kind": "snapshot", "cart_id": "c1", **fields}
    return CartActivity(**given)  # type: ignore[arg-type]  # fields by name


def test_cart_activity_shows_its_shopper_their_cart_and_when_an_order_ends_it() -> None:
    found = sighting_in(activity(customer_id="u1", identities=(CUSTOMER.hash, EMAIL.hash)), HASHER)
    assert found == ((CUSTOMER, EMAIL), "c1", False, NOW)
    ended = sighting_in(activity(kind="order_placed", identities=(EMAIL.hash,)), HASHER)
    assert ended == ((EMAIL,), "c1", True, NOW)


def test_a_device_that_its_record_does_not_name_as_the_shoppers_had_passed_to_another() -> None:
    found = sighting_in(activity(customer_id="u1", anonymous_id="a1", identities=(CUSTOMER.hash,)), HASHER)
    assert found is not None
    assert found.identities == (CUSTOMER, DEVICE)


def test_a_link_is_a_link_and_a_customers_id_is_known_where_the_record_stands_under_it() -> None:
    link = IdentitiesLinked(
        store_id=STORE.store_id, occurred_at=NOW, customer_id="a1", identities=(CUSTOMER.hash, DEVICE.hash)
    )
    found = sighting_in(link, HASHER)
    assert found is not None
    assert [(one.hash, one.key) for one in found.identities] == [(CUSTOMER.hash, ""), (DEVICE.hash, DEVICE.hash)]


def test_an_address_in_the_place_of_an_id_is_known_by_its_hash() -> None:
    hashed_id = hashed("customer", "shopper@example.com")
    found = sighting_in(activity(customer_id=hashed_id, identities=(hashed_id, EMAIL.hash)), HASHER)
    assert found is not None
    assert found.identities == (Identity("customer", hashed_id, hashed_id), EMAIL)


def test_what_was_imported_links_people_and_opens_no_cart_and_an_order_alone_says_nothing() -> None:
    found = sighting_in(activity(imported=True, identities=(EMAIL.hash, DEVICE.hash)), HASHER)
    assert found is not None
    assert found.cart_id == ""
    assert sighting_in(activity(imported=True, identities=(EMAIL.hash,)), HASHER) is None
    assert sighting_in(OrderPlaced(store_id=STORE.store_id, identities=(EMAIL.hash, DEVICE.hash)), HASHER) is None
    assert sighting_in(activity(), HASHER) is None
