"""The changelogged table of carts: Faust restores it, we write it, so that every acknowledgement can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import faust

BYTES: dict[str, Any] = {"key_type": bytes, "value_type": bytes}
NAME = "carts"


class OwnershipLost(Exception):
    """The partitions were assigned anew since the carts were restored; another worker may own them."""


class CartTable:
    """Rows by cart's key, of the partitions of one assignment."""

    def __init__(self, app: faust.App, partitions: int) -> None:
        self._app = app
        self._table = app.Table(NAME, partitions=partitions, **BYTES)
        self.generation = -1

    @property
    def rows(self) -> MutableMapping[bytes, bytes]:
        """What the changelog holds, as far as it was acknowledged."""
        rows: MutableMapping[bytes, bytes] = self._table.data
        return rows

    def settled(self) -> bool:
        """The rows are restored, and those of the present assignment."""
        return not (self._app.rebalancing or self._app.in_recovery)

    def current(self) -> bool:
        """The partitions are still those for which the carts were restored."""
        return bool(self.generation == self._app.consumer_generation_id)

    async def keep(self, partition: int, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write rows to the changelog, await the acks, then hold them here. Raises OwnershipLost."""
        if not self.current():
            raise OwnershipLost
        await asyncio.gather(*(self._table.send_changelog(partition, key, value) for key, value in rows))
        for key, value in rows:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


def changelog_name(app_name: str) -> str:
    """The topic that Faust keeps the table in."""
    return f"{app_name}-{NAME}-changelog"
