"""Journeys that were written to, against those held out by lot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from services.analytics.domain.buckets import DAY_MS
from services.analytics.domain.intervals import Interval, Sample, difference, mean_difference

WINDOW_MS = 7 * DAY_MS
"""How long after it entered a journey may convert; the same for both arms."""

Verdict = Literal["none", "too_few", "open", "better", "worse"]

FEWEST = 30
"""Journeys in an arm, below which no verdict is spoken."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Journeys of one arm; `revenue` by currency counts each journey of that currency, 0 for one without an order."""

    journeys: int = 0
    converted: int = 0
    revenue: dict[str, Sample] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        return self.converted / self.journeys if self.journeys else None


def uplift(treated: Arm, held_out: Arm) -> tuple[float, Interval] | None:
    """Conversion of the treated less that of the held out, and its interval; None until both arms have a journey."""
    if treated.rate is None or held_out.rate is None:
        return None
    interval = difference(treated.converted, treated.journeys, held_out.converted, held_out.journeys)
    return treated.rate - held_out.rate, interval


def revenue_gaps(treated: Arm, held_out: Arm) -> dict[str, tuple[float, Interval | None]]:
    """By currency: revenue a journey (minor units) of the treated less that of the held out."""
    return {
        currency: (
            treated.revenue[currency].mean - held_out.revenue[currency].mean,
            mean_difference(treated.revenue[currency], held_out.revenue[currency]),
        )
        for currency in sorted(treated.revenue.keys() & held_out.revenue.keys())
    }


def verdict(treated: Arm, held_out: Arm) -> Verdict:
    """`open`: the interval holds zero."""
    found = uplift(treated, held_out)
    if found is None:
        return "none"
    if min(treated.journeys, held_out.journeys) < FEWEST:
        return "too_few"
    gap, interval = found
    if not interval.excludes_zero():
        return "open"
    return "better" if gap > 0 else "worse"
