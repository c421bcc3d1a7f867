"""Events settled by what the map knows: each to its shopper and cart. One round trip a request, most often none."""

from collections.abc import Sequence
from typing import NamedTuple

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import STRANGER, Acquaintances, Standing, owner, standing
from services.ingest.domain.sealed import Event, Sealed
from services.ingest.domain.settlement import settled_event, sighting_for_today
from services.ingest.identity.map import IdentityMap
from services.ingest.metrics import IngestMetrics
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.orders import OrderPlaced

_STRONG = frozenset({"customer", "email", "phone"})


class Settled(NamedTuple):
    """Events as they go to Kafka, and those of them that may teach the map something."""

    events: list[Event]
    new: list[Event]


class Settling:
    """An event that names its cart and no device needs no map; one that names both takes what was asked for lately; one
    without a cart and an order always ask."""

    def __init__(self, identities: IdentityMap, metrics: IngestMetrics) -> None:
        self._map = identities
        self._metrics = metrics

    def all_at_once(self, events: Sequence[Event]) -> Settled | None:
        """Settled from this process's memory, each for itself; None where Valkey must be asked about one."""
        known = self._map.person
        done = [*events]
        places = self._map.unusual(events)
        for place in places:
            event = events[place]
            if not event.identities:
                done[place] = settled_event(event, STRANGER)
            elif _asks_now(event) or not self._has(event.identities):
                return None
            elif owner(known, event.identities) is None:
                done[place] = self._settle(event, standing(known, event.identities))
        new = [done[place] for place in places]
        remembered = len(done) - len([one for one in new if not one.identities])
        if remembered:
            self._metrics.count_lookups("remembered", remembered)
        return Settled(done, new)

    async def settle(self, events: Sequence[Event]) -> Settled:
        """Each event knows of those before it."""
        asked = {
            one.hash
            for event in events
            if _asks_now(event) or not self._has(event.identities)
            for one in event.identities
        }
        answered = await self._map.fetch(asked) if asked else True
        known = Acquaintances(self._map.person)
        done: list[Event] = []
        remembered = 0
        for event in events:
            identities = event.identities
            if identities and not _asks_now(event) and owner(known.person, identities) is not None:
                remembered += 1
                one = event
            else:
                found = standing(known.person, identities) if identities else STRANGER
                self._metrics.count_lookups("unasked" if not answered else "known" if found.identities else "stranger")
                one = self._settle(event, found)
            done.append(one)
            if len(events) > 1 and (sighting := sighting_for_today(one)) is not None:
                known.see(sighting)
        if remembered:
            self._metrics.count_lookups("remembered", remembered)
        return Settled(done, done)

    def _has(self, identities: Sequence[Identity]) -> bool:
        for one in identities:
            if one.kind not in _STRONG:
                return self._map.has(identities)
        return True

    def _settle(self, event: Event, found: Standing) -> Event:
        if found.stand_ins:
            self._metrics.partings.inc()
        return settled_event(event, found)


def _asks_now(event: Event) -> bool:
    if isinstance(event, Sealed):
        return False
    for record in event.records:
        if type(record) is OrderPlaced or (type(record) is CartActivity and not record.cart_id):
            return bool(event.identities)
    return False
