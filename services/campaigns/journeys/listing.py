"""Journeys in pages, newest first."""

from dataclasses import dataclass
from typing import Any

from services.campaigns.journeys.store import journeys
from services.campaigns.journeys.store.journeys import DecisionRow
from trolleybus.db import Pool

LARGEST_PAGE = 200


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[dict[str, Any]]
    next: str | None
    counts: dict[str, int]


class BadCursor(ValueError):
    """`after` is not what a page gave as `next`."""


class Listing:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, store_id: str, campaign_id: str, *, after: str, limit: int, status: str = "") -> Page:
        """Raises BadCursor."""
        before = _read(after) if after else None
        async with self._pool.connection() as conn:
            rows = await journeys.page(conn, store_id, campaign_id, before=before, limit=limit + 1, status=status)
            counts = await journeys.counts(conn, store_id, campaign_id)
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(shown, f"{shown[-1]['created_at']}.{shown[-1]['journey_id']}" if more else None, counts)

    async def recent_decisions(self, store_id: str, campaign_id: str, limit: int) -> list[DecisionRow]:
        async with self._pool.connection() as conn:
            return await journeys.recent_decisions(conn, store_id, campaign_id, limit)


def _read(after: str) -> tuple[int, str]:
    created, dot, journey_id = after.partition(".")
    if not dot or not created.isdecimal() or len(created) > 15 or len(journey_id) > 64:
        raise BadCursor(after)
    return int(created), journey_id
