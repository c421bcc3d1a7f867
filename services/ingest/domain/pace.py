"""Shoppers that do more than a person can: known by how much they do in a minute of their own time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from services.ingest.domain import marks
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.translation import Translation
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig

MINUTE_MS = 60_000


class Activity(Protocol):
    """What counts of one: whose it is, and when it happened (ms since the epoch)."""

    @property
    def customer_id(self) -> str: ...

    @property
    def occurred_at(self) -> int: ...


_Counts = dict[tuple[str, int], dict[str, int]]


class Pace:
    """Counts activities by shopper and minute of event time, so that what was sent late counts when it happened.

    What was counted is forgotten in two halves of `most_kept`: memory stays bounded whoever comes.
    """

    def __init__(self, *, most_a_minute: int, most_kept: int = 100_000) -> None:
        self._most = most_a_minute
        self._half = most_kept // 2
        self._counts: _Counts = {}  # By store and minute, then by shopper.
        self._before: _Counts = {}
        self._kept = 0

    def beyond(self, store_id: str, activities: Sequence[Activity | None]) -> list[int]:
        """Counts a store's activities; the places of those that are more than a person does."""
        found: list[int] = []
        minute, counts = -1, dict[str, int]()
        for place, activity in enumerate(activities):
            if activity is None:
                continue
            at = activity.occurred_at // MINUTE_MS
            if at != minute:
                minute = at
                counts = self._counts.setdefault((store_id, minute), {})
            shopper = activity.customer_id
            count = counts.get(shopper)
            if count is None:
                if self._kept >= self._half:
                    self._before, self._counts, self._kept = self._counts, {}, 0
                    counts = self._counts.setdefault((store_id, minute), {})
                self._kept += 1
                count = self._before.get((store_id, minute), {}).get(shopper, 0)
            counts[shopper] = count + 1
            if count >= self._most:
                found.append(place)
        return found


def paced(pace: Pace, events: Sequence[Event], store: StoreConfig) -> Sequence[Event]:
    """Marked are those whose shopper does more than a person can."""
    if marks.BOT in store.unmarked:
        return events
    seen = [event if type(event) is Sealed else _unmarked_activity(event) for event in events]
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
