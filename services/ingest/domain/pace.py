"""Shoppers that do more than a person can: known by how much they do in a minute of their own time."""

from collections import defaultdict

MINUTE_MS = 60_000


class Pace:
    """Counts activities by shopper and minute of event time, so that what was sent late counts when it happened.

    What was counted is forgotten in two halves of `most_kept`: memory stays bounded whoever comes.
    """

    def __init__(self, *, most_a_minute: int, most_kept: int = 100_000) -> None:
        self._most = most_a_minute
        self._half = most_kept // 2
        self._counts: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._before: dict[tuple[str, str, int], int] = {}

    def is_beyond(self, store_id: str, shopper: str, at: int) -> bool:
        """Counts one more; whether that is more than a person does."""
        place = store_id, shopper, at // MINUTE_MS
        if place not in self._counts:
            if len(self._counts) >= self._half:
                self._before, self._counts = dict(self._counts), defaultdict(int)
            self._counts[place] = self._before.get(place, 0)
        self._counts[place] += 1
        return self._counts[place] > self._most
