"""When each integration was last heard of: noted on the event path in memory, written every few seconds in one statement."""

import asyncio
from dataclasses import replace

import psycopg

from services.ingest.integrations import store
from services.ingest.integrations.directory import Link
from services.ingest.integrations.store import Note
from trolleybus.db import Pool
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)

FLUSH_S = 3.0
LONGEST_ERROR = 300


class Activity:
    """As many notes as integrations at most. While PostgreSQL is away they wait; what a crash takes is told anew."""

    def __init__(self, pool: Pool, *, flush_s: float = FLUSH_S) -> None:
        self._pool = pool
        self._flush_s = flush_s
        self._notes: dict[str, Note] = {}

    def note_event(self, link: Link, at_ms: int) -> None:
        """Something genuine came and was taken."""
        note = self._notes.get(link.integration_id)
        if note is None:
            self._notes[link.integration_id] = Note(link.store_id, link.integration_id, event_at=at_ms)
        elif at_ms > note.event_at:
            self._notes[link.integration_id] = replace(note, event_at=at_ms)

    def note_error(self, link: Link, at_ms: int, why: str) -> None:
        """Something came that was not taken; `why` holds nothing personal."""
        note = self._notes.get(link.integration_id) or Note(link.store_id, link.integration_id)
        if at_ms >= note.error_at:
            self._notes[link.integration_id] = replace(note, error=why[:LONGEST_ERROR], error_at=at_ms)

    async def run(self) -> None:
        """Endless."""
        while True:
            await asyncio.sleep(self._flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Writes what was noted; keeps it where the database is away."""
        if not self._notes:
            return
        notes, self._notes = self._notes, {}
        try:
            async with self._pool.connection(timeout=2.0) as conn:
                await store.note(conn, sorted(notes.values(), key=lambda note: note.integration_id))
        except psycopg.Error as error:
            logger.warning("what was heard of integrations is not written yet", error=type(error).__name__)
            for note in notes.values():
                self._put_back(note)

    def _put_back(self, note: Note) -> None:
        later = self._notes.get(note.integration_id, note)
        newest = later if later.error_at >= note.error_at else note
        self._notes[note.integration_id] = replace(newest, event_at=max(note.event_at, later.event_at))
