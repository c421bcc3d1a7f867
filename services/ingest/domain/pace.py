"""Shoppers that do more than a person can: known by how much they do in a minute of their own time."""

from collections import defaultdict
from dataclasses import replace

from services.ingest.domain import marks
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Event, Translation
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig

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


def paced(pace: Pace, event: Event, store: StoreConfig) -> Event:
    """Marked, where its shopper does more than a person can."""
    activity = event if isinstance(event, Sealed) else _unmarked_activity(event)
    if activity is None or marks.BOT in store.unmarked:
        return event
    if not pace.is_beyond(store.store_id, activity.customer_id, activity.occurred_at):
        return event
    return _marked(event.long_form() if isinstance(event, Sealed) else event)


def _unmarked_activity(event: Translation) -> CartActivity | None:
    """Activity stands last, where an event has any."""
    last = event.records[-1] if event.records else None
    return last if isinstance(last, CartActivity) and marks.BOT not in last.marks else None


def _marked(event: Translation) -> Translation:
    *others, activity = event.records
    if not isinstance(activity, CartActivity):
        raise TypeError(f"only activity is marked, not {activity!r}")
    return replace(event, records=(*others, replace(activity, marks=(*activity.marks, marks.BOT))))
