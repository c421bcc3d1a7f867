"""Numbers, amounts and times as the reader's language writes them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from services.analytics.api.models import Amount
from trolleybus.contracts.money import exponent


class Formats:
    """Formats in one locale."""

    def __init__(self, locale: Locale) -> None:
        self._locale = locale

    @classmethod
    def accepted(cls, header: str) -> Formats:
        """The first language of an Accept-Language header that is known; else English."""
        for part in header.split(","):
            tag = part.partition(";")[0].strip()
            try:
                return cls(Locale.parse(tag, sep="-"))
            except (ValueError, UnknownLocaleError, TypeError):
                continue
        return cls(Locale("en"))

    def number(self, value: int) -> str:
        return format_decimal(value, locale=self._locale)

    def percent(self, share: float | None) -> str:
        return "–" if share is None else format_percent(share, format="#,##0.0%", locale=self._locale)

    def points(self, share: float) -> str:
        """A difference of shares, in percentage points, with its sign."""
        return format_decimal(share * 100, format="+#,##0.0;-#,##0.0", locale=self._locale)

    def money(self, amount: Amount) -> str:
        return self.minor(amount.minor, amount.currency)

    def minor(self, minor: float, currency: str) -> str:
        """Minor units, which may be a mean, in a currency."""
        value = Decimal(str(minor)).scaleb(-exponent(currency))
        if not currency:
            return format_decimal(value, locale=self._locale)
        return format_currency(value, currency, locale=self._locale)

    def moment(self, text: str) -> str:
        """An ISO 8601 time, in its own zone."""
        return format_datetime(
            datetime.fromisoformat(text), "short", tzinfo=datetime.fromisoformat(text).tzinfo, locale=self._locale
        )

    def clock(self, text: str) -> str:
        return format_time(
            datetime.fromisoformat(text), "medium", tzinfo=datetime.fromisoformat(text).tzinfo, locale=self._locale
        )
