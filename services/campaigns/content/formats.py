"""Money and languages as a reader expects them."""

from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency

from trolleybus.contracts.money import Money, exponent


def locale_of(*tags: str) -> Locale:
    """The first BCP 47 tag that is a locale, or whose language is one; English where none is."""
    for tag in tags:
        parts = tag.replace("_", "-").split("-")
        for candidate in ("_".join(parts), parts[0]):
            try:
                return Locale.parse(candidate)
            except (UnknownLocaleError, ValueError, TypeError):
                continue
    return Locale("en")


def money(amount: Money, locale: Locale) -> str:
    """As 1.234,50 € in Spanish; "" where there is no amount."""
    if not amount.currency:
        return ""
    value = Decimal(amount.minor).scaleb(-exponent(amount.currency))
    return format_currency(value, amount.currency, locale=locale)
