"""The local inbox: keeps each mail in a table, for a person to read. A provider as any other: it takes what it is given."""

from __future__ import annotations

import psycopg
from psycopg_pool import PoolTimeout

from services.messaging.store import inbox
from services.messaging.transports import Accepted, Answer, Mail, MayBegin, NotAccepted, TooLate, Unknown
from trolleybus.db import Pool


class InboxTransport:
    """Stores a mail in a transaction of its own, which the gate's are not part of."""

    name = "inbox"
    channels = frozenset({"email"})

    def __init__(self, pool: Pool, capacity: int) -> None:
        self._pool = pool
        self.capacity = capacity

    async def send(self, mail: Mail, may_begin: MayBegin) -> Answer:
        begun = False
        try:
            async with self._pool.connection() as conn:
                if not may_begin():
                    return TooLate()
                begun = True
                number = await inbox.insert(
                    conn,
                    message_id=mail.message_id,
                    store_id=mail.store_id,
                    address_hash=mail.address_hash,
                    sender=mail.sender,
                    recipient=mail.recipient,
                    subject=mail.subject,
                    raw=mail.raw,
                )
        except (psycopg.Error, PoolTimeout) as error:
            reason = f"the inbox: {error}"
            # A commit whose answer was lost may have been made.
            return Unknown(reason=reason) if begun else NotAccepted(reason=reason)
        return Accepted(provider_message_id=str(number), delivered=True)

    async def look_up(self, message_id: str) -> Accepted | None:
        async with self._pool.connection() as conn:
            number = await inbox.number_of(conn, message_id)
        return None if number is None else Accepted(provider_message_id=str(number), delivered=True)

    async def close(self) -> None:
        """The pool belongs to the service."""
