"""What a record must hold before detection can use it."""

from __future__ import annotations

from services.abandonment.domain.activity import Activity, Line
from services.abandonment.domain.contents import CONTENT_KINDS, LARGEST_QUANTITY, line_key
from trolleybus.contracts.money import LARGEST_MINOR

LATEST_TIME = 253_402_300_800_000
"""The year 10000, in ms: beyond it a time is in another unit."""


class Rejected(ValueError):
    """The record cannot be applied to any cart; the text says which value is absurd."""


def check(activity: Activity, arrival: int) -> None:
    """Raise Rejected for a record whose values make no sense."""
    if not activity.id:
        raise Rejected("id is missing")
    if not activity.store_id:
        raise Rejected("store_id is missing")
    if not 0 < activity.occurred_at < LATEST_TIME:
        raise Rejected(f"occurred_at is {activity.occurred_at}, which is no time in ms since 1970")
    if not 0 < arrival < LATEST_TIME:
        raise Rejected(f"the arrival is {arrival}, which is no time in ms since 1970")
    if not activity.cart_id and activity.kind in CONTENT_KINDS:
        raise Rejected(f"cart_id is missing, and a {activity.kind} is of a cart")
    _check_amount("discount", activity.discount)
    _check_amount("total", activity.total)
    for number, line in enumerate(activity.lines):
        _check_line(f"lines[{number}]", line)


def _check_line(name: str, line: Line) -> None:
    if not line_key(line):
        raise Rejected(f"{name} has neither line_id nor product_id nor variant_id")
    if abs(line.quantity) > LARGEST_QUANTITY:
        raise Rejected(f"{name}.quantity is {line.quantity}, beyond {LARGEST_QUANTITY} pieces")
    _check_amount(f"{name}.unit_price", line.price)
    _check_amount(f"{name}.discount", line.discount)


def _check_amount(name: str, minor: int) -> None:
    if abs(minor) > LARGEST_MINOR:
        raise Rejected(f"{name} is {minor} minor units, beyond {LARGEST_MINOR}")
