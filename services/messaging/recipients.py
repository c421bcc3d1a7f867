"""What recipients do: they click, open, unsubscribe."""

from __future__ import annotations

import time
from dataclasses import replace

from services.messaging import facts
from services.messaging.store import projection, queue
from services.messaging.store.facts import lock_people, people
from services.messaging.store.queue import Message
from trolleybus import outbox
from trolleybus.contracts.permission import Permission
from trolleybus.db import Connection, Pool
from trolleybus.envelope import Envelopes


class UnknownMessage(LookupError):
    """The link is ours, but its message is not known here (any more)."""


class Recipients:
    """Each act is one transaction: the gate's own tables and what is told of it."""

    def __init__(self, pool: Pool, envelopes: Envelopes) -> None:
        self._pool = pool
        self._envelopes = envelopes

    async def find(self, message_id: str) -> Message:
        """Raises UnknownMessage."""
        async with self._pool.connection() as conn:
            return await _known(conn, message_id)

    async def unsubscribe(self, message_id: str, via: str) -> Message:
        """The person's own no, in force when this returns; saying it again changes nothing.

        Under the person's locks: no claim that is made after this can have missed it. Raises UnknownMessage.
        """
        async with self._pool.connection() as conn:
            message = await _known(conn, message_id)
            await lock_people(conn, (await people(conn, [message]))[message_id])
            key = (message.store_id, message.channel, message.address_hash)
            known = await projection.permission(conn, *key)
            if known.person_no_at and known.person_no_at >= known.person_yes_at:
                return message
            undone = known.person_yes_at
            at = max(time.time_ns() // 1_000_000, undone)  # A tie is a no.
            await projection.join_permissions(conn, {key: replace(Permission(), person_no_at=at)})
            await outbox.put(
                conn,
                self._envelopes,
                facts.revoked(message, at, undone),
                facts.unsubscribed(message, at, undone, via),
            )
            return message

    async def click(self, message_id: str, url: str, *, machine: bool) -> None:
        """Tell that a link was followed; raises UnknownMessage."""
        async with self._pool.connection() as conn:
            message = await _known(conn, message_id)
            now = time.time_ns() // 1_000_000
            await outbox.put(conn, self._envelopes, facts.clicked(message, now, url, machine=machine))

    async def open(self, message_id: str, *, machine: bool) -> None:
        """Tell that a mail's pictures were loaded; raises UnknownMessage."""
        async with self._pool.connection() as conn:
            message = await _known(conn, message_id)
            now = time.time_ns() // 1_000_000
            await outbox.put(conn, self._envelopes, facts.opened(message, now, machine=machine))


async def _known(conn: Connection, message_id: str) -> Message:
    message = await queue.find(conn, message_id)
    if message is None:
        raise UnknownMessage(message_id)
    return message
