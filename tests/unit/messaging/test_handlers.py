"""Whose a record is that cannot be read."""

import pytest

from services.messaging.handlers import storable, store_of
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.envelope import Raw


@pytest.mark.parametrize(
    ("header", "key", "store"),
    [
        (b"store-1", b"store-1:order-9", "store-1"),
        (None, b"store-1:order-9", "store-1"),
        (b"store-1", None, "store-1"),
        (b"store-1", b"nonsense", "store-1"),
        (b"store-1", b"store-2:order-9", "*"),
        (None, b"nonsense", "*"),
        (None, None, "*"),
        (b"\xff\xfe", None, "*"),
        (None, b":order-9", "*"),
    ],
)
def test_P8_an_unreadable_record_is_of_the_store_that_its_header_and_key_agree_on(
    header: bytes | None, key: bytes | None, store: str
) -> None:
    headers = {} if header is None else {"ce_storeid": header}
    assert store_of(Raw("orders", 0, 0, 0, key, b"", headers)) == store


def test_P8_a_zero_character_does_not_stop_an_order() -> None:
    order = OrderPlaced(store_id="s", order_id="a\x00b", identities=("x\x00", "y"))
    assert storable(order) == OrderPlaced(store_id="s", order_id="a\ufffdb", identities=("x\ufffd", "y"))
    clean = OrderPlaced(store_id="s")
    assert storable(clean) is clean
