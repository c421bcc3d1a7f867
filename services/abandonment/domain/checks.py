"""What a record must hold before detection can use it."""

from __future__ import annotations

from services.abandonment.domain.contents import CONTENT_KINDS, LARGEST_QUANTITY, line_key
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import LARGEST_MINOR, Money

LATEST_TIME = 253_402_300_800_000
"""The year 10000, in ms: beyond it a time is in another unit."""


class Rejected(ValueError):
    """The record cannot be applied to any cart; the text says which value is absurd."""


def check(record: CartActivity, arrival: int) -> None:
    """Raise Rejected for a record whose values make no sense."""
    if not record.id:
        raise Rejected("id is missing")
    if not record.store_id:
        raise Rejected("store_id is missing")
    if not 0 < record.occurred_at < LATEST_TIME:
        raise Rejected(f"occurred_at is {record.occurred_at}, which is no time in ms since 1970")
    if not 0 < arrival < LATEST_TIME:
        raise Rejected(f"the arrival is {arrival}, which is no time in ms since 1970")
    if not record.cart_id and record.kind in CONTENT_KINDS:
        raise Rejected(f"cart_id is missing, and a {record.kind} is of a cart")
    _check_amount("discount", record.discount)
    _check_amount("total", record.total)
    for number, line in enumerate(record.lines):
        _check_line(f"lines[{number}]", line)


def _check_line(name: str, line: CartLine) -> None:
    if not line_key(line):
        raise Rejected(f"{name} has neither line_id nor product_id nor variant_id")
    if abs(line.quantity) > LARGEST_QUANTITY:
        raise Rejected(f"{name}.quantity is {line.quantity}, beyond {LARGEST_QUANTITY} pieces")
    _check_amount(f"{name}.unit_price", line.unit_price)
    _check_amount(f"{name}.discount", line.discount)


def _check_amount(name: str, amount: Money) -> None:
    if abs(amount.minor) > LARGEST_MINOR:
        raise Rejected(f"{name} is {amount.minor} minor units, beyond {LARGEST_MINOR}")
