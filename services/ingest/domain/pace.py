"""Shoppers that do more than a person can: known by how much they do in a minute of their own time."""

from collections.abc import Sequence
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
        self._counts: dict[tuple[str, str, int], int] = {}
        self._before: dict[tuple[str, str, int], int] = {}

    def beyond(self, store_id: str, activities: Sequence[tuple[int, str, int]]) -> list[int]:
        """Counts activities (place, shopper, when); the places of those that are more than a person does."""
        found: list[int] = []
        for place, shopper, at in activities:
            minute = store_id, shopper, at // MINUTE_MS
            count = self._counts.get(minute)
            if count is None:
                if len(self._counts) >= self._half:
                    self._before, self._counts = self._counts, {}
                count = self._before.get(minute, 0)
            self._counts[minute] = count + 1
            if count >= self._most:
                found.append(place)
        return found


def paced(pace: Pace, events: Sequence[Event], store: StoreConfig) -> Sequence[Event]:
    """Marked are those whose shopper does more than a person can."""
    if marks.BOT in store.unmarked:
        return events
    seen = [
        (place, activity.customer_id, activity.occurred_at)
        for place, event in enumerate(events)
        if (activity := event if type(event) is Sealed else _unmarked_activity(event)) is not None
    ]
    beyond = pace.beyond(store.store_id, seen)
    if not beyond:
        return events
    done = [*events]
    for place in beyond:
        event = done[place]
        done[place] = _marked(event.long_form() if isinstance(event, Sealed) else event)
    return done


def _unmarked_activity(event: Event) -> CartActivity | None:
    """Activity stands last, where an event has any."""
    last = event.records[-1] if isinstance(event, Translation) and event.records else None
    return last if isinstance(last, CartActivity) and marks.BOT not in last.marks else None


def _marked(event: Translation) -> Translation:
    *others, activity = event.records
    if not isinstance(activity, CartActivity):
        raise TypeError(f"only activity is marked, not {activity!r}")
    return replace(event, records=(*others, replace(activity, marks=(*activity.marks, marks.BOT))))
