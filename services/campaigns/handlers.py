"""One partition's records into the service: the audience first, then the journeys, which look at it."""

from collections.abc import Callable, Sequence

from services.campaigns.audience import handlers as audience
from services.campaigns.audience import store as audience_store
from services.campaigns.journeys.handlers import Journeys
from services.campaigns.metrics import CampaignsMetrics
from trolleybus import outbox
from trolleybus.consumer import traced
from trolleybus.contracts.records import Record
from trolleybus.db import Connection
from trolleybus.envelope import Envelopes, Outgoing, Raw, Received


class Handlers:
    def __init__(
        self, *, journeys: Journeys, envelopes: Envelopes, metrics: CampaignsMetrics, clock: Callable[[], int]
    ) -> None:
        self._journeys = journeys
        self._envelopes = envelopes
        self._metrics = metrics
        self._clock = clock

    async def handle(self, conn: Connection, batch: Sequence[Received[Record]]) -> None:
        outgoing: list[Outgoing] = []
        told: list[Record] = []
        for received in traced(batch):
            records: tuple[Record, ...] = (
                *await audience.on_record(conn, received),
                *await self._journeys.on_record(conn, received, self._clock()),
            )
            outgoing += [self._envelopes.wrap(record) for record in records]
            told += records
        await outbox.put_outgoing(conn, outgoing)
        self._metrics.count(told)

    async def unreadable(self, conn: Connection, raw: Raw, reason: str) -> None:
        """An order, consent or link that cannot be read: the gate stops the store's sends, and this page shows why."""
        await audience_store.add_hold(conn, raw, reason, self._clock())
