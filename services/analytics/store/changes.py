"""Whose figures moved: told by the transaction that moved them, heard by every process of the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import psycopg

from trolleybus.db import Connection, connect
from trolleybus.telemetry import get_logger

_CHANNEL = "facts_moved"
_LONGEST = 7000  # PostgreSQL takes 8,000 bytes a notification.
_ALL = "*"

log = get_logger(__name__)


async def tell(conn: Connection, store_ids: Iterable[str]) -> None:
    """Tell, when the transaction commits, that these stores' figures moved."""
    text = json.dumps(sorted(store_id.replace("\x00", "�") for store_id in store_ids))
    await conn.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, text if len(text) < _LONGEST else _ALL])


async def tell_all(conn: Connection) -> None:
    """Tell, when the transaction commits, that every store's figures may have moved."""
    await conn.execute("SELECT pg_notify(%s, %s)", [_CHANNEL, _ALL])


class Changes:
    """Counts the changes of each store, and wakes those who wait for one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._counts: dict[str, int] = {}
        self._all = 0
        self._woken = asyncio.Condition()

    def count(self, store_id: str) -> int:
        """Grows with each change of the store's figures."""
        return self._all + self._counts.get(store_id, 0)

    async def wait_beyond(self, store_id: str, count: int) -> int:
        """The count, once it is no longer the given one."""
        async with self._woken:
            await self._woken.wait_for(lambda: self.count(store_id) != count)
            return self.count(store_id)

    async def run(self) -> None:
        """Listen until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.warning("waiting for the database to hear of changes", error=repr(error))
            await asyncio.sleep(1.0)

    async def _listen(self) -> None:
        conn = await connect(self._url, name="analytics changes")
        try:
            await conn.execute(f"LISTEN {_CHANNEL}")
            await self._heard(_ALL)  # Whatever moved while nobody listened.
            async for notice in conn.notifies():
                await self._heard(notice.payload)
        finally:
            await conn.close()

    async def _heard(self, payload: str) -> None:
        async with self._woken:
            if payload == _ALL:
                self._all += 1
            else:
                for store_id in json.loads(payload):
                    self._counts[store_id] = self._counts.get(store_id, 0) + 1
            self._woken.notify_all()
