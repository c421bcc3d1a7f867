"""What becomes of a request's events: tied to carts, sent to Kafka, remembered; accepted only with every acknowledgement."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from services.ingest.adapters.seam import Refused
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.settlement import sighting_for_today
from services.ingest.domain.translation import Flaw, Translation
from services.ingest.identity.map import IdentityMap
from services.ingest.identity.settling import Settled, Settling
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import KafkaUnavailable, Overloaded, Phases, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity

Result = Event | Refused
"""The event, once Kafka has it; or why it was not taken."""
Told = Callable[[list[Result] | KafkaUnavailable | Overloaded], None]
"""Called once with a result for each event of a request, in order; or with why none counts as accepted."""


class Gateway:
    """Takes what adapters made of a store's events."""

    def __init__(self, publisher: Publisher, identities: IdentityMap, metrics: IngestMetrics) -> None:
        self._publisher = publisher
        self._identities = identities
        self._settling = Settling(identities, metrics)
        self._metrics = metrics

    async def take(self, store_id: str, source: str, events: Sequence[Event | Refused]) -> list[Result]:
        """A result for each event of a store, in order. Raises KafkaUnavailable or Overloaded: then none counts as accepted."""
        readable = [event for event in events if not isinstance(event, Refused)]
        settled = self._settled_at_once(readable) or await self._settling.settle(readable)
        results: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._begin(store_id, source, events, settled, partial(_tell, results))
        return await results

    def begin(self, store_id: str, source: str, events: Sequence[Event], told: Told) -> bool:
        """As take, without waiting. False where the map must be asked for a shopper first: then nothing was begun. May raise
        Overloaded: then `told` is not called."""
        settled = self._settled_at_once(events)
        if settled is None:
            return False
        self._begin(store_id, source, events, settled, told)
        return True

    def _begin(
        self, store_id: str, source: str, events: Sequence[Event | Refused], settled: Settled, told: Told
    ) -> None:
        results: list[Result]
        new, phases = settled.new, Phases([], [])
        sealed = [one for one in settled.events if type(one) is Sealed]
        if len(sealed) == len(events):  # The most.
            phases.last.extend([one.outgoing for one in sealed])
            results, accepted = [*sealed], settled.events
        else:
            in_turn = iter(settled.events)
            results = [self._add(next(in_turn), phases) if type(one) is not Refused else one for one in events]
            accepted = [one for one in results if not isinstance(one, Refused)]
        if len(accepted) < len(events):
            self._metrics.events.labels(source, "", "refused").inc(len(events) - len(accepted))
            new = [one for one in new if one in accepted]
        if not accepted:
            told(results)
            return
        try:
            self._publisher.publish(store_id, phases, partial(self._end, source, accepted, new, results, told))
        except Overloaded:
            self._count(source, accepted, "unacknowledged")
            raise

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
        if len(events) == 1 or not [event for event in events if len(event.identities) > 1]:
            return self._settling.all_at_once(events)
        return None

    def _end(
        self,
        source: str,
        accepted: Sequence[Event],
        new: Sequence[Event],
        results: list[Result],
        told: Told,
        error: KafkaUnavailable | Overloaded | None,
    ) -> None:
        if error is not None:
            self._count(source, accepted, "unacknowledged")
            told(error)
            return
        self._count(source, accepted, "accepted")
        self._metrics.count_marks(
            [mark for event in accepted if type(event) is Translation for mark in _marks_of(event)]
        )
        sightings = [sighting_for_today(event) for event in new]
        self._identities.note([one for one in sightings if one is not None])
        told(results)

    def _count(self, source: str, events: Sequence[Event], outcome: str) -> None:
        self._metrics.count_events(source, [one.kind for one in events], outcome)


def _tell(waiting: asyncio.Future[list[Result]], told: list[Result] | KafkaUnavailable | Overloaded) -> None:
    if waiting.done():
        return  # Nobody waits any more.
    if isinstance(told, list):
        waiting.set_result(told)
    else:
        waiting.set_exception(told)


def _marks_of(event: Translation) -> Sequence[str]:
    return [mark for record in event.records if type(record) is CartActivity for mark in record.marks]


__all__ = ["Gateway", "KafkaUnavailable", "Overloaded", "Result"]
