"""The dashboard's page, and the part of it that is read anew when the figures move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from services.analytics.api import models
from services.analytics.api.access import Directory, Reader, reader_required
from services.analytics.api.assemble import duration, store_model
from services.analytics.api.periods import Range, period
from services.analytics.pages.formats import Formats
from services.analytics.reading import Figures
from services.analytics.settings import AnalyticsSettings
from trolleybus.contracts.stores import StoreConfig
from trolleybus.pages import Pages

HERE = Path(__file__).parent
STATIC = HERE / "static"

RANGES: dict[str, str] = {
    "last_hour": "Last hour",
    "last_24_hours": "Last 24 hours",
    "today": "Today",
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
}
STATES: dict[str, tuple[str, str]] = {
    "open": ("open", "info"),
    "abandoned": ("abandoned", "warn"),
    "written_to": ("written to", "info"),
    "returned": ("came back", "info"),
    "recovered": ("recovered", "good"),
    "ordered": ("ordered", "good"),
    "emptied": ("emptied", ""),
    "expired": ("expired", ""),
}
_CARTS_SHOWN = 20

StoreId = Annotated[str, Query(max_length=200)]
Within = Annotated[Range, Query(alias="range")]


def pages_router(settings: AnalyticsSettings, directory: Directory, figures: Figures) -> APIRouter:
    """`/` (and `/dashboard`) for people, `/figures` for the page's own script."""
    router = APIRouter(include_in_schema=False)
    pages = Pages(settings, HERE / "templates")
    reader_of = Depends(reader_required(settings, directory))

    async def shown(request: Request, store: StoreConfig, within: Range) -> dict[str, Any]:
        board = await figures.dashboard(store, period(store, figures.now(), within=within))
        carts = await figures.carts(store, "", _CARTS_SHOWN)
        formats = Formats.accepted(request.headers.get("accept-language", ""))
        return {
            "board": board,
            "carts": carts.carts,
            "fmt": formats,
            "states": STATES,
            "happening": happening,
            "chart": chart(board),
            "summary": summary(board, formats),
            "ingest_url": settings.ingest_url,
        }

    @router.get("/dashboard")  # The navigation's name for it.
    @router.get("/")
    async def page(
        request: Request, reader: Reader = reader_of, store_id: StoreId = "", within: Within = "last_24_hours"
    ) -> HTMLResponse:
        stores = reader.stores()
        if not stores:
            return pages.render(request, "no_store.html")
        store = reader.store(store_id or stores[0].store_id)
        query = urlencode({"store_id": store.store_id, "range": within})
        return pages.render(
            request,
            "dashboard.html",
            store=store_model(store),
            stores=[store_model(one) for one in stores],
            within=within,
            ranges=[(name, RANGES[name]) for name in get_args(Range)],
            figures_url=f"/figures?{query}",
            stream_url=f"/api/v1/analytics/stream?{urlencode({'store_id': store.store_id})}",
            **await shown(request, store, within),
        )

    @router.get("/figures")
    async def part(
        request: Request, store_id: StoreId, reader: Reader = reader_of, within: Within = "last_24_hours"
    ) -> HTMLResponse:
        return pages.render(request, "_figures.html", **await shown(request, reader.store(store_id), within))

    return router


def chart(board: models.Dashboard) -> str:
    """What the page's script draws, as JSON: seconds since the epoch and the three lines."""
    series = board.series
    return json.dumps(
        {
            "zone": board.period.time_zone,
            "starts": [at / 1000 for at in series.starts_ms],
            "opened": series.opened,
            "abandoned": series.abandoned,
            "recovered": series.recovered,
        },
        separators=(",", ":"),
    )


def summary(board: models.Dashboard, formats: Formats) -> str:
    """The page in one sentence, for those who listen to it."""
    revenue = " and ".join(formats.money(one.total) for one in board.recovered.revenue)
    carts = board.carts
    text = (
        f"{formats.number(carts.opened)} carts opened, {formats.number(carts.abandoned)} abandoned, "
        f"{formats.number(carts.recovered)} recovered"
    )
    return f"{text}, worth {revenue}." if revenue else f"{text}."


def happening(event: models.Event, formats: Formats) -> str:
    """One entry of a time line in words."""
    words = event.what.removeprefix("message_").replace("_", " ")
    if event.what == "abandoned" and event.level_seconds is not None:
        return f"abandoned {duration(event.level_seconds)}"
    if event.what in ("message_refused", "message_deferred", "skipped") and event.detail:
        return f"{words} ({event.detail.replace('_', ' ')})"
    if event.what == "recovered" and event.amount is not None:
        return f"recovered {formats.money(event.amount)}"
    if event.what.startswith("message_") and event.detail:
        return f"{event.detail} {words}"
    return words
