"""What all sources share of a request that was let in: how its events arrived, and their way to Kafka."""

from collections.abc import Sequence

from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.api.answers import behind
from services.ingest.api.browsers import browser_of
from services.ingest.api.callers import Caller
from services.ingest.domain.pace import Pace, paced
from services.ingest.domain.sealed import Event
from services.ingest.gateway import Gateway, KafkaUnavailable, Overloaded, Result
from services.ingest.visitors import Visitors
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.http import Problem
from trolleybus.http.fast import Incoming
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)


class Intake:
    """Refusals of a whole request are raised as problems."""

    def __init__(self, *, hasher: IdentityHasher, gateway: Gateway, pace: Pace, visitors: Visitors) -> None:
        self.hasher = hasher
        self._gateway = gateway
        self._pace = pace
        self._visitors = visitors

    def arrival(
        self, request: Incoming, caller: Caller, received_at: int, events: int, sent_at: int | None = None
    ) -> Arrival:
        """Of so many events from a shop's pages or servers, times in ms since the epoch; counts them for their address."""
        return Arrival(
            store=caller.store,
            hasher=self.hasher,
            received_at=received_at,
            sent_at=sent_at,
            is_public=caller.is_public,
            user_agent=browser_of(request),
            country=self._visitors.country(request.headers),
            is_crowd=self._visitors.is_crowd(request.headers, caller.store.store_id, events, received_at),
        )

    async def take(self, caller: Caller, source: str, events: Sequence[Event | Refused]) -> Sequence[Result]:
        """A result an event, when Kafka has all that were not refused; 503 otherwise."""
        told = iter(self.paced(caller, [one for one in events if not isinstance(one, Refused)]))
        return await self.hand_over(caller, source, [one if isinstance(one, Refused) else next(told) for one in events])

    def paced(self, caller: Caller, events: Sequence[Event]) -> Sequence[Event]:
        """Marked where their shopper does more than a person can; a shop's server is believed."""
        return paced(self._pace, events, caller.store) if caller.is_public else events

    async def hand_over(self, caller: Caller, source: str, events: Sequence[Event | Refused]) -> Sequence[Result]:
        """As take, of events that are paced."""
        try:
            return await self._gateway.take(caller.store.store_id, source, events)
        except (Overloaded, KafkaUnavailable) as error:
            raise not_taken(error, caller, len(events)) from None


def not_taken(error: KafkaUnavailable | Overloaded, caller: Caller, events: int) -> Problem:
    """503, and when to come again."""
    if isinstance(error, Overloaded):
        return behind(str(error))
    logger.warning("kafka did not acknowledge", store=caller.store.store_id, events=events, error=str(error))
    return behind("Kafka did not acknowledge; send the same again, nothing will count twice")
