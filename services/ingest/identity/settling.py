"""Events settled by what the map knows: each to its shopper and cart. One round trip a request, most often none."""

from collections.abc import Sequence

from services.ingest.domain.persons import Acquaintances, Standing, standing
from services.ingest.domain.translation import Translation, settled, sighting_of
from services.ingest.identity.map import IdentityMap
from services.ingest.metrics import IngestMetrics
from trolleybus.contracts.orders import OrderPlaced

_STRONG = frozenset({"customer", "email", "phone"})


class Settling:
    """An event that names its cart and no device needs no map; one that names both takes what was asked for lately; one
    without a cart and an order always ask."""

    def __init__(self, identities: IdentityMap, metrics: IngestMetrics) -> None:
        self._map = identities
        self._metrics = metrics

    def at_once(self, translation: Translation) -> Translation | None:
        """Settled from this process's memory; None where Valkey must be asked."""
        if _asks_now(translation) or not self._has(translation):
            return None
        self._metrics.identity_reads.labels("memory").inc()
        return self._settle(translation, standing(self._map.person, translation.identities))

    async def settle(self, translations: Sequence[Translation]) -> list[Translation]:
        """Each event knows of those before it."""
        asked = {
            one.hash
            for translation in translations
            if _asks_now(translation) or not self._has(translation)
            for one in translation.identities
        }
        answered = await self._map.fetch(asked) if asked else True
        if not answered:
            self._metrics.identity_lookups.labels("unasked").inc(len(translations))
        self._metrics.identity_reads.labels("valkey" if asked else "memory").inc()
        known = Acquaintances(self._map.person)
        done = []
        for translation in translations:
            found = standing(known.person, translation.identities) if translation.identities else Standing()
            one = self._settle(translation, found)
            done.append(one)
            if len(translations) > 1 and (sighting := sighting_of(one)) is not None:
                known.see(sighting)
        return done

    def _has(self, translation: Translation) -> bool:
        identities = translation.identities
        return all(one.kind in _STRONG for one in identities) or self._map.has(one.hash for one in identities)

    def _settle(self, translation: Translation, found: Standing) -> Translation:
        if translation.identities:
            self._metrics.identity_lookups.labels("known" if found.identities else "stranger").inc()
        if found.stand_ins:
            self._metrics.partings.inc()
        return settled(translation, found)


def _asks_now(translation: Translation) -> bool:
    if not translation.identities:
        return False
    return translation.wants_cart or any(isinstance(record, OrderPlaced) for record in translation.records)
