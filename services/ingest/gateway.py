"""What becomes of a request's events: tied to carts, sent to Kafka, remembered; accepted only with every acknowledgement."""

from collections.abc import Sequence

from services.ingest.adapters.seam import Refused
from services.ingest.domain.sealed import Sealed
from services.ingest.domain.translation import Event, Flaw, sighting_for_today
from services.ingest.identity.map import IdentityMap
from services.ingest.identity.settling import Settling
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import KafkaUnavailable, Overloaded, Phases, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """Kafka has it. What could not be read of it was left out."""

    event_id: str
    left_out: Sequence[Flaw] = ()


Result = Accepted | Refused


class Gateway:
    """Takes what adapters made of a store's events."""

    def __init__(self, publisher: Publisher, identities: IdentityMap, metrics: IngestMetrics) -> None:
        self._publisher = publisher
        self._identities = identities
        self._settling = Settling(identities, metrics)
        self._metrics = metrics

    async def take(self, store_id: str, source: str, events: Sequence[Event | Refused]) -> list[Result]:
        """A result for each event of a store, in order. Raises KafkaUnavailable or Overloaded: then none counts as accepted."""
        in_turn = iter(await self._settled([event for event in events if not isinstance(event, Refused)]))
        results: list[Result] = []
        accepted: list[Event] = []
        phases = Phases([], [])
        for event in events:
            if isinstance(event, Refused):
                results.append(event)
                continue
            one = next(in_turn)
            try:
                self._add(one, phases)
            except TooLarge as error:
                results.append(Refused(Flaw("", str(error))))
                continue
            accepted.append(one)
            results.append(Accepted(one.event_id, one.left_out))
        if len(accepted) < len(events):
            self._metrics.events.labels(source, "", "refused").inc(len(events) - len(accepted))
        if accepted:
            await self._publish(store_id, source, accepted, phases)
        return results

    def _add(self, event: Event, phases: Phases) -> None:
        if isinstance(event, Sealed):
            phases.last.append(event.outgoing)
            return
        first, last = self._publisher.seal(event.records)
        phases.first.extend(first)
        phases.last.extend(last)

    async def _settled(self, events: Sequence[Event]) -> Sequence[Event]:
        # One event learns nothing from the others where none tells that two identities are one person's.
        if len(events) == 1 or all(len(event.identities) < 2 for event in events):
            at_once = self._settling.all_at_once(events)
            if at_once is not None:
                return at_once
        return await self._settling.settle(events)

    async def _publish(self, store_id: str, source: str, accepted: Sequence[Event], phases: Phases) -> None:
        outcome = "unacknowledged"
        try:
            await self._publisher.publish(store_id, phases)
            outcome = "accepted"
        finally:
            self._metrics.count_events(source, [one.kind for one in accepted], outcome)
        self._metrics.count_marks([mark for event in accepted for mark in _marks_of(event)])
        sightings = [sighting_for_today(event) for event in accepted]
        self._identities.note([one for one in sightings if one is not None])


def _marks_of(event: Event) -> Sequence[str]:
    if isinstance(event, Sealed):
        return ()
    return [mark for record in event.records if type(record) is CartActivity for mark in record.marks]


__all__ = ["Accepted", "Gateway", "KafkaUnavailable", "Overloaded", "Result"]
