"""Figures of a path where each microsecond counts: added up in plain numbers, and told once a pass of the event loop.

prometheus-client takes a lock for each increment and several for each observation.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram


class Gathered:
    """`add`, `observe` and `set` are as the metrics' own, for metrics that have their labels; used on an event loop only."""

    def __init__(self) -> None:
        self._added: dict[Counter, float] = {}
        self._observed: dict[Histogram, list[float]] = {}
        self._set: dict[Gauge, float] = {}
        self._is_due = False

    def add(self, counter: Counter, amount: float = 1) -> None:
        self._added[counter] = self._added.get(counter, 0) + amount
        if not self._is_due:
            self._wake()

    def observe(self, histogram: Histogram, value: float) -> None:
        values = self._observed.get(histogram)
        if values is None:
            values = self._observed[histogram] = []
        values.append(value)
        if not self._is_due:
            self._wake()

    def set(self, gauge: Gauge, value: float) -> None:
        self._set[gauge] = value
        if not self._is_due:
            self._wake()

    def _wake(self) -> None:
        self._is_due = True
        asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._is_due = False
        added, self._added = self._added, {}
        for counter, amount in added.items():
            counter.inc(amount)
        observed, self._observed = self._observed, {}
        for histogram, values in observed.items():
            observe_all(histogram, values)
        levels, self._set = self._set, {}
        for gauge, value in levels.items():
            gauge.set(value)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """As `observe` for each of them. It is in the library's own hands only one at a time, so this knows its parts."""
    if len(values) == 1:
        histogram.observe(values[0])
        return
    histogram._sum.inc(sum(values))
    bounds = histogram._upper_bounds
    numbers = [0] * len(bounds)
    for value in values:
        numbers[bisect_left(bounds, value)] += 1
    for bucket, number in zip(histogram._buckets, numbers, strict=True):
        if number:
            bucket.inc(number)
