"""What becomes of a request's events: tied to carts, sent to Kafka, remembered; accepted only with every acknowledgement."""

from collections.abc import Sequence

from services.ingest.adapters.seam import Refused
from services.ingest.domain.translation import Flaw, Translation, sighting_for_today
from services.ingest.identity.map import IdentityMap
from services.ingest.identity.settling import Settling
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import KafkaUnavailable, Overloaded, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.frozen import dataclass
from trolleybus.envelope import Outgoing


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

    async def take(self, source: str, events: Sequence[Translation | Refused]) -> list[Result]:
        """A result an event, in order. Raises KafkaUnavailable or Overloaded: then none counts as accepted."""
        sound = [event for event in events if isinstance(event, Translation)]
        translations = await self._settled(sound)
        results: list[Result] = []
        accepted: list[Translation] = []
        sealed: list[Outgoing] = []
        in_turn = iter(translations)
        for event in events:
            if isinstance(event, Refused):
                results.append(event)
                continue
            translation = next(in_turn)
            try:
                sealed += self._publisher.seal(translation.records)
            except TooLarge as error:
                results.append(Refused(Flaw("", str(error))))
                continue
            accepted.append(translation)
            results.append(Accepted(translation.event_id, translation.left_out))
        if len(accepted) < len(events):
            self._metrics.events.labels(source, "", "refused").inc(len(events) - len(accepted))
        if accepted:
            await self._publish(source, accepted, sealed)
        return results

    async def _settled(self, events: Sequence[Translation]) -> Sequence[Translation]:
        # One event learns nothing from the others where none tells that two identities are one person's.
        if len(events) == 1 or all(len(event.identities) < 2 for event in events):
            at_once = self._settling.all_at_once(events)
            if at_once is not None:
                return at_once
        return await self._settling.settle(events)

    async def _publish(self, source: str, accepted: Sequence[Translation], sealed: Sequence[Outgoing]) -> None:
        records = [record for translation in accepted for record in translation.records]
        outcome = "unacknowledged"
        try:
            await self._publisher.publish(records, sealed)
            outcome = "accepted"
        finally:
            self._metrics.count_events(source, [one.kind for one in accepted], outcome)
        self._metrics.count_marks([mark for record in records if type(record) is CartActivity for mark in record.marks])
        sightings = [sighting_for_today(translation) for translation in accepted]
        self._identities.note([one for one in sightings if one is not None])


__all__ = ["Accepted", "Gateway", "KafkaUnavailable", "Overloaded", "Result"]
