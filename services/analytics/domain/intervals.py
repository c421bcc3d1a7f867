"""Intervals that say how much a measured share or difference could be chance, at 95 %."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float

    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def wilson(successes: int, trials: int, z: float = Z_95) -> Interval:
    """Score interval of a proportion (E. B. Wilson 1927; method 3 in Newcombe 1998a); 0 to 1 where nothing was tried."""
    if trials == 0:
        return Interval(0.0, 1.0)
    share, squared = successes / trials, z * z
    centre = 2 * successes + squared
    spread = z * sqrt(squared + 4 * trials * share * (1 - share))
    width = 2 * (trials + squared)
    return Interval(max(0.0, (centre - spread) / width), min(1.0, (centre + spread) / width))


def difference(successes: int, trials: int, other_successes: int, other_trials: int, z: float = Z_95) -> Interval:
    """Interval of the first proportion less the second, from their score intervals.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17
    (1998), 873-890, method 10: it holds its 95 % for small numbers and for shares near 0, where the usual one does not.
    """
    if trials == 0 or other_trials == 0:
        return Interval(-1.0, 1.0)
    first, second = wilson(successes, trials, z), wilson(other_successes, other_trials, z)
    share, other = successes / trials, other_successes / other_trials
    return Interval(
        share - other - sqrt((share - first.low) ** 2 + (second.high - other) ** 2),
        share - other + sqrt((first.high - share) ** 2 + (other - second.low) ** 2),
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """How many, their sum and the sum of their squares."""

    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of the population they were drawn from; 0 for less than two."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.count - 1))


def mean_difference(one: Sample, other: Sample, z: float = Z_95) -> Interval | None:
    """Large-sample interval of the first mean less the second, unequal variances (B. L. Welch 1938).

    None where either has less than 30: amounts are skewed, and below that the normal distribution is no approximation.
    """
    if min(one.count, other.count) < 30:
        return None
    error = z * sqrt(one.variance / one.count + other.variance / other.count)
    gap = one.mean - other.mean
    return Interval(gap - error, gap + error)
