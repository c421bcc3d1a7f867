"""Bringing every secret under the first key, so that the others can be thrown away."""

from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.integrations import store
from services.ingest.integrations.sealing import CannotOpen, KeyRing, Place
from trolleybus.db import Connection

BATCH = 100


@dataclass(frozen=True, slots=True)
class Left:
    """A secret that could not be opened, and why; it stays as it was."""

    place: Place
    why: str


async def rewrap_all(conn: Connection, keys: KeyRing, report: Callable[[int], None]) -> list[Left]:
    """Each batch is a transaction, so what is done stays done; run again it goes on with what is left.

    `report` is told how many more were looked at. `conn` commits by itself outside of transactions.
    """
    left: list[Left] = []
    after: Place | None = None
    while batch := await store.some_not_under(conn, keys.first, after, BATCH):
        async with conn.transaction():
            for one in batch:
                try:
                    wrapped = keys.rewrap(one.sealed, one.place)
                except CannotOpen as error:
                    left.append(Left(one.place, str(error)))
                else:
                    await store.replace_wrapping(conn, one, wrapped)
        after = batch[-1].place
        report(len(batch))
    return left
