from collections import Counter
from datetime import UTC, datetime

import pytest

from tools.seed.history import Store
from tools.seed.plan import DAYS, Size, plan
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.identity import IdentityHasher, InstallationSecret
from trolleybus.contracts.journeys import HeldOut, JourneyEntered
from trolleybus.contracts.messages import MessageSent
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.products import Product
from trolleybus.contracts.records import Record

NOW = 1_790_000_000_000
STORE = Store(store_id="s", version=1, currency="EUR", first_level_s=900, campaign_id="c")


def past(seed: int = 1) -> list[Record]:
    hasher = IdentityHasher([InstallationSecret(1, b"of this test")])
    return plan(seed, STORE, hasher, "https://shop.example", "Europe/Madrid", NOW, Size())


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return past()


def test_the_same_seed_makes_the_same_past(records: list[Record]) -> None:
    assert records == past()
    assert records != past(2)


def test_a_past_has_the_customers_products_and_carts_that_it_should(records: list[Record]) -> None:
    products = [record for record in records if isinstance(record, Product)]
    assert len([record for record in records if isinstance(record, CustomerUpdated)]) == 1_000
    assert (len(products), len({product.category for product in products})) == (200, 10)
    last_activity: dict[str, int] = {}
    for record in records:
        if isinstance(record, CartActivity) and record.kind != "import_ended":
            last_activity[record.cart_id] = max(last_activity.get(record.cart_id, 0), record.occurred_at)
    bought = {record.cart_id for record in records if isinstance(record, OrderPlaced)}
    still_open = {cart: at for cart, at in last_activity.items() if cart not in bought}
    active = [cart for cart, at in still_open.items() if at + 900_000 > NOW]
    assert (len(active), len(still_open) - len(active)) == (500, 300)


def test_everything_of_a_past_is_imported_and_lies_in_it(records: list[Record]) -> None:
    assert all(record.imported for record in records)
    assert all(record.occurred_at <= NOW for record in records)
    oldest = min(record.occurred_at for record in records if isinstance(record, CartActivity))
    assert NOW - DAYS * 86_400_000 <= oldest < NOW - (DAYS - 3) * 86_400_000
    assert len({record.id for record in records}) == len(records)


def test_every_cart_of_a_past_ends_its_import(records: list[Record]) -> None:
    carts = {record.cart_id for record in records if isinstance(record, CartActivity)}
    ended = [record.cart_id for record in records if isinstance(record, CartActivity) and record.kind == "import_ended"]
    assert sorted(ended) == sorted(carts)
    by_cart: dict[str, list[int]] = {}
    for record in records:
        if isinstance(record, CartActivity):
            by_cart.setdefault(record.cart_id, []).append(record.received_at)
    assert all(arrivals == sorted(arrivals) for arrivals in by_cart.values())


def test_nobody_held_out_was_written_to(records: list[Record]) -> None:
    held_out = {record.journey_id for record in records if isinstance(record, HeldOut)}
    written_to = {record.journey_id for record in records if isinstance(record, MessageSent)}
    entered = {record.journey_id for record in records if isinstance(record, JourneyEntered)}
    assert held_out
    assert written_to == entered
    assert held_out.isdisjoint(written_to)


def test_a_past_follows_the_day(records: list[Record]) -> None:
    bought = [record for record in records if isinstance(record, OrderPlaced)]
    hours = Counter(datetime.fromtimestamp(record.occurred_at / 1000, UTC).hour for record in bought)
    assert sum(hours[hour] for hour in range(17, 22)) > 3 * sum(hours[hour] for hour in range(1, 6))
