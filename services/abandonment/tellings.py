"""Facts and parked records as they stand on the topics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from services.abandonment.domain.effects import Effect
from services.abandonment.shard import Changes, Parked
from trolleybus.codec import UnreadableRecord
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.deadletter import Parking, park
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.topics import Topic

LARGEST_BYTES = 900_000
"""Of a fact: under the brokers' default of 1 MiB for a message. A larger snapshot is told without its lines."""


class Tellings:
    """Wraps what a shard made."""

    def __init__(self, envelopes: Envelopes, source: Topic, dead_letters: Topic) -> None:
        self._envelopes = envelopes
        self._source = source
        self._dead_letters = dead_letters

    def of(self, changes: Changes, now_ms: int) -> Iterator[Outgoing]:
        """In the order in which they came to be; `now_ms` is when they are published."""
        yield from self._facts(changes.effects, now_ms)
        yield from map(self._parked, changes.parked)

    def _facts(self, effects: Iterable[Effect], now_ms: int) -> Iterator[Outgoing]:
        for effect in effects:
            if isinstance(effect, CartAbandoned):
                object.__setattr__(effect, "fired_at", now_ms)  # Nobody else has it before it is told.
            telling = self._envelopes.wrap(effect)
            if isinstance(effect, CartAbandoned) and len(telling.value or b"") > LARGEST_BYTES:
                telling = self._envelopes.wrap(replace(effect, lines=()))
            yield telling

    def _parked(self, parked: Parked) -> Outgoing:
        record = parked.record
        parking = Parking(
            reason=reason_of(parked.error),
            detail=str(parked.error),
            topic=self._source.full_name,
            partition=record.partition,
            offset=record.offset,
            parked_at=int(time.time() * 1000),
        )
        headers = tuple((name, value or b"") for name, value in record.headers)
        return park(self._dead_letters.full_name, record.key, record.value, headers, parking)


def reason_of(error: Exception) -> str:
    """A short name."""
    return "unreadable" if isinstance(error, UnreadableRecord) else type(error).__name__
