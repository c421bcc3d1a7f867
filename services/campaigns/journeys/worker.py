"""Takes the journeys whose turn it is. Any number of workers may run: each row is locked by one, and skipped by the others."""

import asyncio
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg_pool import PoolTimeout

from services.campaigns.journeys.store import journeys
from services.campaigns.journeys.store.journeys import Due
from services.campaigns.journeys.turns import Turns
from services.campaigns.metrics import CampaignsMetrics
from trolleybus import outbox
from trolleybus.contracts.records import Record
from trolleybus.db import Connection, Pool, is_outage
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import continue_trace, get_logger

_LONGEST_REST_MS = 3_600_000

log = get_logger(__name__)


class StepWorker:
    def __init__(
        self,
        *,
        pool: Pool,
        envelopes: Envelopes,
        turns: Turns,
        metrics: CampaignsMetrics,
        clock: Callable[[], int],
        batch: int,
        poll_seconds: float,
    ) -> None:
        self._pool = pool
        self._envelopes = envelopes
        self._turns = turns
        self._metrics = metrics
        self._clock = clock
        self._batch = batch
        self._poll = poll_seconds
        self._problem = "not started"
        self._wake = asyncio.Event()

    def status(self) -> PartStatus:
        return PartStatus(ok=not self._problem, detail=self._problem)

    def wake(self) -> None:
        """Something may have become due."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            try:
                taken = await self.take_batch()
                self._problem = ""
            except (psycopg.Error, PoolTimeout) as error:
                if isinstance(error, psycopg.Error) and not is_outage(error):
                    raise
                self._problem = f"database: {error}"
                log.warning("the step worker waits for the database", error=str(error))
                await asyncio.sleep(1.0)
                continue
            if taken < self._batch:
                try:
                    async with asyncio.timeout(self._poll):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def take_batch(self) -> int:
        """Journeys, requests and records of a batch are one transaction; each journey has a savepoint of its own."""
        told: list[Record] = []
        async with self._pool.connection() as conn:
            due = await journeys.take_due(conn, self._clock(), self._batch)
            outgoing: list[Outgoing] = []
            for one in due:
                with continue_trace(one.traceparent):
                    records = await self._take(conn, one)
                    outgoing += [self._envelopes.wrap(record) for record in records]
                told += records
            await outbox.put_outgoing(conn, outgoing)
        self._metrics.count(told)
        return len(due)

    async def _take(self, conn: Connection, due: Due) -> Sequence[Record]:
        now = self._clock()
        journey = due.journey
        self._metrics.lateness.observe(max(0, now - journey.due_at) / 1000)
        try:
            async with conn.transaction():
                return await self._turns.take(conn, journey, now)
        except Exception as error:
            if isinstance(error, psycopg.Error) and is_outage(error):
                raise
            # One journey's trouble must not hold up the others; it is tried again, ever more seldom.
            rest = min(1000 * 2 ** min(due.failures, 20), _LONGEST_REST_MS)
            log.exception("a journey's turn failed", journey_id=journey.journey_id, failures=due.failures + 1)
            self._metrics.failures.inc()
            await journeys.postpone(conn, journey, now + rest)
            return ()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
