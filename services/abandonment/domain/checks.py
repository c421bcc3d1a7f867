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
    if not -LARGEST_MINOR <= activity.discount <= LARGEST_MINOR:
        raise Rejected(f"discount is {activity.discount} minor units, beyond {LARGEST_MINOR}")
    if not -LARGEST_MINOR <= activity.total <= LARGEST_MINOR:
        raise Rejected(f"total is {activity.total} minor units, beyond {LARGEST_MINOR}")
    for number, line in enumerate(activity.lines):
        fault = _fault(line)
        if fault:
            raise Rejected(f"lines[{number}]{fault}")


def _fault(line: Line) -> str:
    if not line.line_id and not line_key(line):
        return " has neither line_id nor product_id nor variant_id"
    if not -LARGEST_QUANTITY <= line.quantity <= LARGEST_QUANTITY:
        return f".quantity is {line.quantity}, beyond {LARGEST_QUANTITY} pieces"
    if not -LARGEST_MINOR <= line.price <= LARGEST_MINOR:
        return f".unit_price is {line.price} minor units, beyond {LARGEST_MINOR}"
    if not -LARGEST_MINOR <= line.discount <= LARGEST_MINOR:
        return f".discount is {line.discount} minor units, beyond {LARGEST_MINOR}"
    return ""
