"""What becomes of a request's events: tied to carts, sent to Kafka, remembered; accepted only with every acknowledgement."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.ingest.adapters.seam import Refused
from services.ingest.domain.translation import Flaw, Translation, tied_in_turn
from services.ingest.metrics import IngestMetrics
from services.ingest.open_carts import OpenCarts
from services.ingest.publisher import KafkaUnavailable, Overloaded, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity
from trolleybus.envelope import Outgoing


@dataclass(frozen=True, slots=True)
class Accepted:
    """Kafka has it. What could not be read of it was left out."""

    event_id: str
    left_out: Sequence[Flaw] = ()


Result = Accepted | Refused


class Gateway:
    """Takes what adapters made of a store's events."""

    def __init__(self, publisher: Publisher, open_carts: OpenCarts, metrics: IngestMetrics) -> None:
        self._publisher = publisher
        self._open_carts = open_carts
        self._metrics = metrics

    async def take(self, store_id: str, source: str, events: Sequence[Translation | Refused]) -> list[Result]:
        """A result an event, in order. Raises KafkaUnavailable or Overloaded: then none counts as accepted."""
        sound = [event for event in events if isinstance(event, Translation)]
        translations = await self._tie(store_id, sound)
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
        self._metrics.events.labels(source, "", "refused").inc(len(events) - len(accepted))
        if accepted:
            await self._publish(store_id, source, accepted, sealed)
        return results

    async def _tie(self, store_id: str, events: Sequence[Translation]) -> list[Translation]:
        known: list[str | None] = [None] * len(events)
        wanting = [index for index, event in enumerate(events) if event.wants_cart]
        if wanting:
            found = await self._open_carts.find(store_id, [events[index].identities for index in wanting])
            for index, cart_id in zip(wanting, found, strict=True):
                known[index] = cart_id
        return tied_in_turn(events, known)

    async def _publish(
        self, store_id: str, source: str, accepted: Sequence[Translation], sealed: Sequence[Outgoing]
    ) -> None:
        records = [record for translation in accepted for record in translation.records]
        outcome = "unacknowledged"
        try:
            await self._publisher.publish(records, sealed)
            outcome = "accepted"
        finally:
            for translation in accepted:
                self._metrics.events.labels(source, translation.kind, outcome).inc()
        for record in records:
            if isinstance(record, CartActivity):
                for mark in record.marks:
                    self._metrics.marked.labels(mark).inc()
        await self._open_carts.note(store_id, accepted)


__all__ = ["Accepted", "Gateway", "KafkaUnavailable", "Overloaded", "Result"]
