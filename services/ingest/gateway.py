"""What becomes of a request's events: tied to carts, sent to Kafka, remembered; accepted only with every acknowledgement."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from services.ingest.adapters.seam import Refused
from services.ingest.domain.remembering import Sighting
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.settlement import sighting_for_today
from services.ingest.domain.translation import Flaw, Translation
from services.ingest.identity.map import IdentityMap
from services.ingest.identity.settling import Settled, Settling
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import KafkaUnavailable, Overloaded, Phases, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity

Result = Event | Refused
"""The event, as Kafka gets it; or why it is not taken."""
Done = Callable[[KafkaUnavailable | Overloaded | None], None]
"""Called once: with None when Kafka has all of a request's events, else with why none counts as accepted."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A store's events, ready to be sent: what becomes of each, in order, once Kafka has them."""

    store_id: str
    source: str
    results: Sequence[Result]
    taken: Sequence[Event]
    phases: Phases
    sightings: Sequence[Sighting]
    """What those that are taken may teach the map."""


class _Counted(NamedTuple):
    """Events on their way, as far as metrics tell of them. Nothing else of most events is kept here until Kafka has them: what
    is written once and left for milliseconds falls out of the processor's caches, and so does what stands beside it."""

    source: str
    kinds: Sequence[str]
    marks: Sequence[str]


class Gateway:
    """Takes what adapters made of a store's events."""

    def __init__(self, publisher: Publisher, identities: IdentityMap, metrics: IngestMetrics) -> None:
        self._publisher = publisher
        self._identities = identities
        self._settling = Settling(identities, metrics)
        self._metrics = metrics

    async def take(self, store_id: str, source: str, events: Sequence[Event | Refused]) -> Sequence[Result]:
        """A result for each event of a store, in order. Raises KafkaUnavailable or Overloaded: then none counts as accepted."""
        readable = [event for event in events if not isinstance(event, Refused)]
        settled = self._settled_at_once(readable) or await self._settling.settle(readable)
        ready = self._ready(store_id, source, events, settled)
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send(ready, partial(_tell, told))
        await told
        return ready.results

    def ready_at_once(self, store_id: str, source: str, events: Sequence[Event]) -> Ready | None:
        """Without waiting; None where the map must be asked for a shopper first."""
        settled = self._settled_at_once(events)
        return self._ready(store_id, source, events, settled) if settled is not None else None

    def send(self, ready: Ready, done: Done) -> None:
        """Hands them to Kafka. May raise Overloaded: then `done` is not called."""
        refused = len(ready.results) - len(ready.taken)
        if refused:
            self._metrics.events.labels(ready.source, "", "refused").inc(refused)
        if not ready.taken:
            done(None)
            return
        marks = [mark for one in ready.taken if type(one) is Translation for mark in _marks_of(one)]
        counted = _Counted(ready.source, [one.kind for one in ready.taken], marks)
        try:
            self._publisher.publish(ready.store_id, ready.phases, partial(self._end, counted, ready.sightings, done))
        except Overloaded:
            self._count(counted, "unacknowledged")
            raise

    def _ready(self, store_id: str, source: str, events: Sequence[Event | Refused], settled: Settled) -> Ready:
        new, phases = settled.new, Phases([], [])
        sealed = [one.outgoing for one in settled.events if type(one) is Sealed]
        if len(sealed) == len(events):  # The most.
            phases.last.extend(sealed)
            return Ready(store_id, source, settled.events, settled.events, phases, _sightings(new))
        in_turn = iter(settled.events)
        results = [self._add(next(in_turn), phases) if type(one) is not Refused else one for one in events]
        taken = [one for one in results if not isinstance(one, Refused)]
        return Ready(store_id, source, results, taken, phases, _sightings([one for one in new if one in taken]))

    def _add(self, event: Event, phases: Phases) -> Result:
        if type(event) is Sealed:
            phases.last.append(event.outgoing)
            return event
        try:
            first, last = self._publisher.seal(event.records)
        except TooLarge as error:
            return Refused(Flaw("", str(error)))
        phases.first.extend(first)
        phases.last.extend(last)
        return event

    def _settled_at_once(self, events: Sequence[Event]) -> Settled | None:
        # One event learns nothing from the others where none tells that two identities are one person's.
        if len(events) == 1 or not [one for one in events if type(one) is not Sealed and len(one.identities) > 1]:
            return self._settling.all_at_once(events)
        return None

    def _end(
        self,
        counted: _Counted,
        sightings: Sequence[Sighting],
        done: Done,
        error: KafkaUnavailable | Overloaded | None,
    ) -> None:
        if error is None:
            self._count(counted, "accepted")
            self._metrics.count_marks(counted.marks)
            self._identities.note(sightings)
        else:
            self._count(counted, "unacknowledged")
        done(error)

    def _count(self, counted: _Counted, outcome: str) -> None:
        self._metrics.count_events(counted.source, counted.kinds, outcome)


def _tell(waiting: asyncio.Future[None], error: KafkaUnavailable | Overloaded | None) -> None:
    if waiting.done():
        return  # Nobody waits any more.
    if error is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(error)


def _sightings(events: Sequence[Event]) -> Sequence[Sighting]:
    found = [sighting_for_today(event) for event in events]
    return [one for one in found if one is not None]


def _marks_of(event: Translation) -> Sequence[str]:
    return [mark for record in event.records if type(record) is CartActivity for mark in record.marks]


__all__ = ["Gateway", "KafkaUnavailable", "Overloaded", "Ready", "Result"]
