"""Hands records to Kafka: orders before the cart activity they end, all acknowledged or none confirmed, never too many."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from services.ingest.domain.room import Room
from services.ingest.domain.translation import Canonical
from services.ingest.metrics import IngestMetrics
from services.ingest.sender import Done as Sent
from services.ingest.sender import QueueFull
from trolleybus.contracts.cart import CartActivity
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus

LARGEST_RECORD = 950_000
"""Bytes of one record's value; Kafka's own bound for a batch is 1,048,588."""


class Sending(Protocol):
    """The part of Sender that is used here."""

    def send(self, outgoing: Sequence[Outgoing], done: Sent) -> None: ...

    def status(self) -> PartStatus: ...


class TooLarge(Exception):
    """A record is larger than Kafka takes."""


class Overloaded(Exception):
    """Kafka is behind; the text says how. Nothing was sent."""


Done = Callable[[KafkaUnavailable | Overloaded | None], None]
"""Called once: with None when Kafka has all, else with what went wrong."""


class Phases(NamedTuple):
    """What goes first, and what goes when all of that is acknowledged: orders before the cart activity that they end."""

    first: list[Outgoing]
    last: list[Outgoing]


class _Sending:
    """A request's records on their way."""

    __slots__ = ("done", "left", "size", "store_id", "topics")

    def __init__(self, store_id: str, phases: Phases, done: Done) -> None:
        self.store_id = store_id
        self.left = [phase for phase in phases if phase]
        self.topics = [one.topic for phase in phases for one in phase]
        self.size = sum([one.size for phase in phases for one in phase])
        self.done = done


class Publisher:
    """Turns requests away early when the broker slows, so that memory stays bounded and callers learn it at once."""

    def __init__(
        self,
        sender: Sending,
        wrap: Callable[[Canonical], Outgoing],
        metrics: IngestMetrics,
        *,
        max_in_flight: int,
        max_bytes_in_flight: int,
        slow_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender
        self._wrap = wrap
        self._metrics = metrics
        self._records = Room(max_in_flight)
        self._bytes = Room(max_bytes_in_flight)
        self._slow_after_s = slow_after_s
        self._clock = clock
        self._is_trying = False  # Since the last answer was none.
        self._waiting: dict[_Sending, float] = {}  # Since when each request waits, the oldest first.

    def seal(self, records: Sequence[Canonical]) -> Phases:
        """The records as bytes; raises TooLarge."""
        phases = Phases([], [])
        for record in records:
            one = self._wrap(record)
            if one.value is not None and len(one.value) > LARGEST_RECORD:
                raise TooLarge(f"the event makes a record of {len(one.value)} bytes; at most {LARGEST_RECORD} fit")
            (phases.last if type(record) is CartActivity else phases.first).append(one)
        return phases

    def check(self) -> None:
        """Raises Overloaded while Kafka is behind. Cheap: asked before a request is read."""
        if not self._waiting:
            return
        if self._records.is_full() or self._bytes.is_full():
            self._metrics.turned_away.labels("overloaded").inc()
            raise Overloaded(f"{self._records.total} records wait for Kafka")
        if self._is_trying:
            self._metrics.turned_away.labels("slow_broker").inc()
            raise Overloaded("Kafka did not acknowledge the last request; one at a time tries whether it does again")
        if self._is_slow():
            self._metrics.turned_away.labels("slow_broker").inc()
            raise Overloaded(f"Kafka has not acknowledged for {self._slow_after_s:g} s")

    def status(self) -> PartStatus:
        """Not ready while Kafka is away or keeps requests waiting."""
        sending = self._sender.status()
        if not sending.ok:
            return sending
        return PartStatus(ok=not self._is_slow(), detail=f"{self._records.total} records wait for acknowledgement")

    def publish(self, store_id: str, phases: Phases, done: Done) -> None:
        """Sends; `done` is called with None when all in-sync replicas have all of them, else with KafkaUnavailable or
        Overloaded. Raises Overloaded where nothing was begun: then it is not called."""
        self.check()
        sending = _Sending(store_id, phases, done)
        if not sending.topics:
            done(None)
            return
        self._take_room(sending)
        self._waiting[sending] = self._clock()
        self._send_next(sending)

    def _send_next(self, sending: _Sending) -> None:
        try:
            self._sender.send(sending.left.pop(0), partial(self._sent, sending))
        except KafkaUnavailable as error:
            self._end(sending, error)
        except QueueFull as error:
            self._metrics.turned_away.labels("overloaded").inc()
            self._end(sending, Overloaded(str(error)))

    def _sent(self, sending: _Sending, error: KafkaUnavailable | None) -> None:
        if error is None and sending.left:
            self._send_next(sending)
        else:
            self._end(sending, error)

    def _end(self, sending: _Sending, error: KafkaUnavailable | Overloaded | None) -> None:
        began = self._waiting.pop(sending)
        self._records.give_back(sending.store_id, len(sending.topics))
        self._bytes.give_back(sending.store_id, sending.size)
        self._metrics.waiting(self._records.total)
        if error is None:
            self._is_trying = False
            self._metrics.acknowledged(self._clock() - began)
            self._metrics.count_records(sending.topics)
        elif isinstance(error, KafkaUnavailable):
            self._is_trying = True
        sending.done(error)

    def _is_slow(self) -> bool:
        oldest = next(iter(self._waiting.values()), None)
        return oldest is not None and self._clock() - oldest > self._slow_after_s

    def _take_room(self, sending: _Sending) -> None:
        """Raises Overloaded where the store has too much on its way."""
        store_id, records = sending.store_id, len(sending.topics)
        if not (self._records.fits(store_id, records) and self._bytes.fits(store_id, sending.size)):
            self._metrics.turned_away.labels("store_share").inc()
            raise Overloaded("too many records of this store wait for Kafka")
        self._records.take(store_id, records)
        self._bytes.take(store_id, sending.size)
        self._metrics.waiting(self._records.total)


__all__ = ["KafkaUnavailable", "Overloaded", "Phases", "Publisher", "TooLarge"]
