"""The read API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.analytics.api import models
from services.analytics.api.access import Directory, Reader, reader_required
from services.analytics.api.assemble import store_model
from services.analytics.api.periods import Range, period
from services.analytics.domain.buckets import Bucket
from services.analytics.metrics import AnalyticsMetrics
from services.analytics.reading import Figures
from services.analytics.settings import AnalyticsSettings
from services.analytics.store.changes import Changes
from trolleybus.contracts.stores import StoreConfig

SHORTEST_PAUSE_S = 1.0
"""A page is told of changes once a second at most."""

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No proof of who asks"},
    403: {"description": "Another store's figures, or a key that may not read"},
    404: {"description": "No such store"},
    422: {"description": "A parameter is not valid; the problem names it"},
}
StoreId = Annotated[str, Query(max_length=200, description="The store; may be left out where only one can be meant")]


def api_router(
    settings: AnalyticsSettings, directory: Directory, figures: Figures, changes: Changes, metrics: AnalyticsMetrics
) -> APIRouter:
    """Under /api/v1/analytics."""
    router = APIRouter(prefix="/api/v1/analytics", tags=["Figures"], responses=_PROBLEMS)
    reader_of = Depends(reader_required(settings, directory))
    secured: dict[str, Any] = {"security": [{"bearer": []}]}

    @router.get("/stores", summary="Stores that you may read", openapi_extra=secured)
    async def stores(reader: Reader = reader_of) -> models.StoreList:
        return models.StoreList(stores=[store_model(store) for store in reader.stores()])

    @router.get("/dashboard", summary="All figures of a store and a period", openapi_extra=secured)
    async def dashboard(
        reader: Reader = reader_of,
        store_id: StoreId = "",
        start: Annotated[
            str, Query(alias="from", max_length=40, description="Date, date with time, or ms since the epoch; included")
        ] = "",
        end: Annotated[str, Query(alias="to", max_length=40, description="The same, excluded; now if left out")] = "",
        within: Annotated[
            Range | None, Query(alias="range", description="Instead of from and to; by default last_24_hours")
        ] = None,
        bucket: Annotated[Bucket | None, Query(description="By default as fits the period")] = None,
    ) -> models.Dashboard:
        store = reader.store(store_id)
        return await figures.dashboard(
            store, period(store, figures.now(), start=start, end=end, within=within, bucket=bucket)
        )

    @router.get("/carts", summary="Carts with their state and time line, the last opened first", openapi_extra=secured)
    async def carts(
        reader: Reader = reader_of,
        store_id: StoreId = "",
        after: Annotated[str, Query(max_length=1000, description="`next` of the page before")] = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> models.CartPage:
        return await figures.carts(reader.store(store_id), after, limit)

    def asked_store(reader: Reader = reader_of, store_id: StoreId = "") -> StoreConfig:
        return reader.store(store_id)

    @router.get(
        "/stream",
        summary="Server-sent events: the store's figures moved",
        description="`moved` at once and then after each change, at most once a second; read the dashboard anew then.",
        response_class=EventSourceResponse,
        openapi_extra=secured,
    )
    async def stream(store: StoreConfig = Depends(asked_store)) -> AsyncIterator[ServerSentEvent]:
        with metrics.streams.track_inprogress():
            count = -1
            while True:
                count = await changes.wait_beyond(store.store_id, count)
                yield ServerSentEvent(event="moved", data={"as_of_ms": figures.now()}, retry=2000)
                await asyncio.sleep(SHORTEST_PAUSE_S)

    return router
