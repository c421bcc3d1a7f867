"""What a cart is worth: its lines after discounts, tax as displayed, without shipping."""

from collections.abc import Iterable

from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import Money


def line_value(line: CartLine) -> int:
    """Minor units of one line after its discount, never below zero."""
    return max(0, line.quantity * line.unit_price.minor - line.discount.minor)


def cart_value(lines: Iterable[CartLine], discount: Money, currency: str) -> Money:
    """Value of the lines in the given currency, less the cart's discount, never below zero.

    Lines in another currency are left out: amounts are never summed across currencies.
    """
    total = sum([line_value(line) for line in lines if line.unit_price.currency in (currency, "")])
    if discount.currency in (currency, ""):
        total -= discount.minor
    return Money(minor=max(0, total), currency=currency)
