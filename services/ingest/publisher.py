"""Hands records to Kafka: orders before the cart activity they end, all acknowledged or none confirmed, never too many."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from services.ingest.domain.room import Room
from services.ingest.domain.translation import Canonical
from services.ingest.metrics import IngestMetrics
from services.ingest.sender import QueueFull
from trolleybus.contracts.cart import CartActivity
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus

LARGEST_RECORD = 950_000
"""Bytes of one record's value; Kafka's own bound for a batch is 1,048,588."""


class Sending(Protocol):
    """The part of Sender that is used here."""

    async def send_outgoing(self, outgoing: Sequence[Outgoing]) -> None: ...

    def status(self) -> PartStatus: ...


class TooLarge(Exception):
    """A record is larger than Kafka takes."""


class Overloaded(Exception):
    """Kafka is behind; the text says how. Nothing was sent."""


class Phases(NamedTuple):
    """What goes first, and what goes when all of that is acknowledged: orders before the cart activity that they end."""

    first: list[Outgoing]
    last: list[Outgoing]


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
        self._waiting: dict[object, float] = {}  # Since when each request waits, the oldest first.

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

    async def publish(self, store_id: str, phases: Phases) -> None:
        """Returns when all in-sync replicas have all of them; raises KafkaUnavailable or Overloaded."""
        self.check()
        sealed = [*phases.first, *phases.last]
        if not sealed:
            return
        request = object()
        size = self._take_room(store_id, sealed)
        self._waiting[request] = began = self._clock()
        try:
            for phase in phases:
                if phase:
                    await self._sender.send_outgoing(phase)
            self._is_trying = False
        except KafkaUnavailable:
            self._is_trying = True
            raise
        except QueueFull as error:
            self._metrics.turned_away.labels("overloaded").inc()
            raise Overloaded(str(error)) from None
        finally:
            del self._waiting[request]
            self._records.give_back(store_id, len(sealed))
            self._bytes.give_back(store_id, size)
            self._metrics.waiting(self._records.total)
        self._metrics.acknowledged(self._clock() - began)
        self._metrics.count_records([one.topic for one in sealed])

    def _is_slow(self) -> bool:
        oldest = next(iter(self._waiting.values()), None)
        return oldest is not None and self._clock() - oldest > self._slow_after_s

    def _take_room(self, store_id: str, sealed: Sequence[Outgoing]) -> int:
        """Holds room for them, and says how many bytes; raises Overloaded where the store has too much on its way."""
        size = sum([len(one.value or b"") for one in sealed])
        if not (self._records.fits(store_id, len(sealed)) and self._bytes.fits(store_id, size)):
            self._metrics.turned_away.labels("store_share").inc()
            raise Overloaded("too many records of this store wait for Kafka")
        self._records.take(store_id, len(sealed))
        self._bytes.take(store_id, size)
        self._metrics.waiting(self._records.total)
        return size


__all__ = ["KafkaUnavailable", "Overloaded", "Phases", "Publisher", "TooLarge"]
