"""Money: integer minor units, with a currency on each amount."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from trolleybus.contracts.frozen import dataclass

LARGEST_MINOR = 10**15
"""Amounts beyond this are a mistake of the source, not a cart."""

# ISO 4217:2015, minor unit column: the currencies whose exponent is not 2.
_EXPONENTS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


class BadAmount(ValueError):
    """The text is not an amount of money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in integer minor units of its currency; an empty currency means no amount."""

    minor: int = 0  # Minor units, e.g. cents.
    currency: str = ""  # ISO 4217 code.

    def __str__(self) -> str:
        digits = exponent(self.currency)
        return f"{Decimal(self.minor).scaleb(-digits):.{digits}f} {self.currency}".rstrip()


def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit (ISO 4217)."""
    return _EXPONENTS.get(currency, 2)


def is_currency(code: str) -> bool:
    """Whether the text has the form of an ISO 4217 code: three upper-case ASCII letters."""
    return len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()


def from_decimal(amount: str | int | float | Decimal, currency: str) -> tuple[Money, bool]:
    """Major units to Money, and whether a finer amount had to be rounded (half to even).

    Raises BadAmount for what is no finite number, is out of bounds, or has no valid currency.
    """
    if not is_currency(currency):
        raise BadAmount(f"{currency!r} is not a currency code such as EUR")
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        raise BadAmount(f"{str(amount)[:40]!r} is not an amount") from None
    if not value.is_finite() or abs(value) > LARGEST_MINOR:
        raise BadAmount(f"{str(amount)[:40]} is not an amount that can be paid")
    scaled = value.scaleb(exponent(currency))
    minor = scaled.to_integral_value(rounding=ROUND_HALF_EVEN)
    if abs(minor) > LARGEST_MINOR:
        raise BadAmount(f"{str(amount)[:40]} is not an amount that can be paid")
    return Money(minor=int(minor), currency=currency), minor != scaled


def by_currency(amounts: Iterable[Money]) -> dict[str, int]:
    """Sums of minor units, one for each currency: amounts are never added across currencies."""
    totals: dict[str, int] = {}
    for amount in amounts:
        if amount.currency:
            totals[amount.currency] = totals.get(amount.currency, 0) + amount.minor
    return totals
