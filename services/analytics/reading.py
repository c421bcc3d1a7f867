"""What a dashboard shows, read in one snapshot: for the API and for the page alike."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable

from services.analytics.api import models
from services.analytics.api.assemble import carts_model, dashboard_model
from services.analytics.api.periods import Asked
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.store.carts import Place, happened_to, page_of_carts
from services.analytics.store.figures import Question, read_figures, snapshot
from trolleybus.contracts.stores import StoreConfig
from trolleybus.db import Pool
from trolleybus.http import Problem

Clock = Callable[[], int]


def wall_clock() -> int:
    """Now, in ms since the epoch."""
    return int(time.time() * 1000)


class Figures:
    """Reads figures and carts of a store."""

    def __init__(self, pool: Pool, metrics: AnalyticsMetrics, clock: Clock = wall_clock) -> None:
        self._pool = pool
        self._metrics = metrics
        self.now = clock

    async def dashboard(self, store: StoreConfig, asked: Asked) -> models.Dashboard:
        now = self.now()
        question = Question(
            store_id=store.store_id,
            start=asked.start,
            end=asked.end,
            as_of=now,
            edges=asked.edges,
            hours=asked.hours,
            levels=store.levels,
        )
        with self._metrics.query_seconds.time():
            async with snapshot(self._pool) as conn:
                figures = await read_figures(conn, question)
        return dashboard_model(store, asked, figures, now)

    async def carts(self, store: StoreConfig, after: str, limit: int) -> models.CartPage:
        """The carts opened last; `after` is the `next` of the page before."""
        place = _place(after) if after else None
        async with snapshot(self._pool) as conn:
            rows = await page_of_carts(conn, store.store_id, place, limit + 1)
            shown = rows[:limit]
            happened = await happened_to(conn, store.store_id, [row["cart_id"] for row in shown])
        more = len(rows) > limit
        return models.CartPage(
            store_id=store.store_id,
            carts=carts_model(store, shown, happened),
            next=_token(Place(shown[-1]["first_item_at"], shown[-1]["cart_id"])) if more else None,
        )


def _token(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.opened_at}:{place.cart_id}".encode()).decode().rstrip("=")


def _place(token: str) -> Place:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        opened_at, mark, cart_id = text.partition(":")
        place = Place(int(opened_at), cart_id)
    except (binascii.Error, ValueError):
        raise _not_a_place() from None
    if not mark or "\x00" in cart_id or not 0 <= place.opened_at < 2**62:
        raise _not_a_place()
    return place


def _not_a_place() -> Problem:
    return Problem(422, "Not a place in the list", "give the `next` of a page before", field="query/after")
