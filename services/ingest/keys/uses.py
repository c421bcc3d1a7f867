"""Uses of keys: noted on the event path in memory, to the minute, and written now and then in one statement."""

import asyncio

import psycopg

from services.ingest.keys import store
from trolleybus.db import Pool
from trolleybus.telemetry import get_logger

FLUSH_S = 10.0
MINUTE_MS = 60_000

logger = get_logger(__name__)


class KeyUses:
    """As many notes as keys at most. While PostgreSQL is away they wait; what a crash takes is not known."""

    def __init__(self, pool: Pool, *, flush_s: float = FLUSH_S) -> None:
        self._pool = pool
        self._flush_s = flush_s
        self._notes: dict[tuple[str, str], int] = {}
        self._written: dict[tuple[str, str], int] = {}

    def note(self, store_id: str, key_id: str, at_ms: int) -> None:
        self._notes[store_id, key_id] = at_ms

    async def run(self) -> None:
        """Endless."""
        while True:
            await asyncio.sleep(self._flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Writes what changed; keeps it where the database is away."""
        notes, self._notes = self._notes, {}
        minutes = {key: at - at % MINUTE_MS for key, at in notes.items()}
        changed = {key: at for key, at in minutes.items() if at > self._written.get(key, 0)}
        if not changed:
            return
        try:
            async with self._pool.connection(timeout=2.0) as conn:
                await store.note(conn, changed)
        except psycopg.Error as error:
            logger.warning("when keys were used is not written yet", error=type(error).__name__)
            self._notes = {**notes, **self._notes}
        else:
            self._written.update(changed)

    async def of_store(self, store_id: str) -> list[tuple[str, int]]:
        """Keys and when each was last used as far as it is written, the latest first."""
        async with self._pool.connection() as conn:
            return await store.of_store(conn, store_id)
