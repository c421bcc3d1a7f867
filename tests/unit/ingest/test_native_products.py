"""A product of the shop's catalogue becomes one record."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.ingest.adapters.native_products import product
from services.ingest.adapters.seam import Refused
from services.ingest.api.payloads import CatalogueProduct
from tests.unit.ingest.given import NOW, STORE, arrival
from trolleybus.contracts.money import Money
from trolleybus.contracts.products import Product

TOLD = {"event_id": "p1", "product_id": "mug-7"}


def told(values: dict[str, Any], **changes: Any) -> tuple[Product, list[str]]:
    translation = product(CatalogueProduct.model_validate(values), arrival(is_public=False, **changes))
    (record,) = translation.records
    assert isinstance(record, Product)
    return record, [flaw.field for flaw in translation.left_out]


def test_a_product_is_told_whole() -> None:
    record, left_out = told(
        {
            **TOLD,
            "occurred_at": "2026-03-01T09:00:00Z",
            "name": "Blue mug",
            "url": "https://shop.example.com/mug",
            "image_url": "https://cdn.example.com/mug.jpg",
            "price": "12.50",
            "compare_at_price": 15,
            "stock": 40,
            "category": "kitchen",
            "brand": "Loza",
        }
    )
    assert left_out == []
    assert record == Product(
        id=record.id,
        store_id=STORE.store_id,
        occurred_at=1_772_355_600_000,
        received_at=NOW,
        source="native",
        source_event_id="p1",
        product_id="mug-7",
        name="Blue mug",
        url="https://shop.example.com/mug",
        image_url="https://cdn.example.com/mug.jpg",
        price=Money(minor=1250, currency="EUR"),
        compare_at_price=Money(minor=1500, currency="EUR"),
        stock=40,
        category="kitchen",
        brand="Loza",
    )


def test_what_is_not_told_of_a_product_is_not_known() -> None:
    record, _ = told(TOLD)
    assert (record.stock, record.available, record.price) == (-1, True, Money())


@pytest.mark.parametrize(
    ("values", "available"),
    [
        ({"stock": 0}, False),
        ({"stock": 1}, True),
        ({"stock": 0, "available": True}, True),
        ({"available": False}, False),
    ],
)
def test_a_product_out_of_stock_cannot_be_bought_unless_the_shop_says_so(
    values: dict[str, Any], available: bool
) -> None:
    assert told({**TOLD, **values})[0].available is available


def test_a_repeat_has_the_same_id_and_another_change_another() -> None:
    assert told(TOLD)[0].id == told({**TOLD, "name": "x"}, received_at=NOW + 1)[0].id
    assert told(TOLD)[0].id != told({**TOLD, "event_id": "p2"})[0].id


def test_what_cannot_be_told_from_its_repeat_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        told({"product_id": "mug-7"})
    assert [flaw.field for flaw in refused.value.errors] == ["/event_id"]


def test_a_link_that_is_none_is_left_out_and_said() -> None:
    record, left_out = told({**TOLD, "url": "javascript:alert(1)", "image_url": "x"})
    assert (record.url, record.image_url) == ("", "")
    assert left_out == ["/url", "/image_url"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"product_id": " "},
        {"price": -1},
        {"price": "1e99"},
        {"price": "NaN"},
        {"stock": -1},
        {"stock": 1.5},
        {"stock": True},
        {"stock": 10**12},
        {"colour": "blue"},
    ],
)
def test_what_is_no_product_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        told({**TOLD, **wrong})
