"""Records in, facts out: one batch of one partition, within its transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

from services.analytics.domain.facts import Facts
from services.analytics.domain.projection import facts_of
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.store.changes import tell
from services.analytics.store.facts import FactTables, share
from trolleybus.contracts.records import Record
from trolleybus.db import Connection
from trolleybus.envelope import Raw, Received


class Projection:
    """Joins what records tell into the live tables and tells the pages whose figures moved."""

    def __init__(self, metrics: AnalyticsMetrics) -> None:
        self._tables = FactTables()
        self._metrics = metrics

    async def project(self, conn: Connection, batch: Sequence[Received[Record]]) -> None:
        """For the consumer. The records may come in any order across topics and any number of times."""
        began = time.perf_counter()
        await share(conn)
        await self._tables.join(conn, joined(batch))
        await tell(conn, {received.record.store_id for received in batch})
        self._metrics.projected(batch[0].topic, len(batch), time.perf_counter() - began)

    async def unreadable(self, conn: Connection, raw: Raw, reason: str) -> None:
        """Write down what the figures lack; analytics sends nothing, so nothing has to be held."""
        await conn.execute(
            "INSERT INTO unreadable (topic, partition, kafka_offset, store_id, reason) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [raw.topic, raw.partition, raw.offset, raw.store_id().replace("\x00", "�"), reason.replace("\x00", "�")],
        )


def joined(batch: Sequence[Received[Record]]) -> Facts:
    """What a batch tells, each row once."""
    facts = Facts()
    for received in batch:
        facts.add(facts_of(received.record, received.arrival, received.appended_at))
    return facts
