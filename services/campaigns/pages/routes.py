"""Stores, campaigns, journeys and the words of each step, as an operator sees them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.campaigns.content.formats import locale_of, money
from services.campaigns.content.mail import Unwritable
from services.campaigns.journeys.campaigns import CampaignRefused, Campaigns, NoSuchCampaign, preview
from services.campaigns.journeys.domain.campaign import ACTIVE, PAUSED, Campaign
from services.campaigns.journeys.listing import BadCursor, Listing
from services.campaigns.settings import CampaignsSettings
from services.campaigns.stores.domain.durations import text
from services.campaigns.stores.service import NoSuchStore, Stores
from trolleybus.contracts.money import Money
from trolleybus.contracts.stores import StoreConfig
from trolleybus.http import Problem
from trolleybus.pages import Pages
from trolleybus.security import Operator

_JOURNEYS = 25
_DECISIONS = 30
_TONES = {"active": "good", "waiting": "info", "held": "info", "held_out": "warn", "paused": "warn", "skipped": "warn"}

# A step's own HTML: styles and pictures, no script, no form, no frame, no address of its own.
PREVIEW_POLICY = (
    "sandbox; default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
)


def pages_router(  # noqa: PLR0915 - a router is a list of its routes
    settings: CampaignsSettings,
    stores: Stores,
    campaigns: Campaigns,
    listing: Listing,
    operator: Callable[[Request], Operator],
) -> APIRouter:
    pages = Pages(settings, Path(__file__).parent / "templates")
    pages.environment.filters["duration"] = text
    pages.environment.filters["money"] = lambda value: money(Money(**value), locale_of("en"))
    pages.environment.filters["tone"] = lambda status: _TONES.get(status, "")
    router = APIRouter(include_in_schema=False)
    signed_in = [Depends(operator)]

    async def found(store_id: str, campaign_id: str) -> tuple[StoreConfig, Campaign]:
        try:
            return await campaigns.find(store_id, campaign_id)
        except NoSuchStore:
            raise Problem(404, "No such store") from None
        except NoSuchCampaign:
            raise Problem(404, "No such campaign") from None

    @router.get("/")
    async def first() -> Response:
        return RedirectResponse("/campaigns", 302)

    @router.get("/signed-out")
    async def signed_out(request: Request) -> HTMLResponse:
        return pages.render(request, "signed_out.html")

    @router.get("/stores", dependencies=signed_in)
    async def all_stores(request: Request) -> HTMLResponse:
        return pages.render(request, "stores.html", stores=await stores.everyone())

    @router.get("/campaigns", dependencies=signed_in)
    async def all_campaigns(request: Request) -> HTMLResponse:
        rows = []
        for config in await stores.everyone():
            for campaign in await campaigns.of_store(config.store_id):
                page = await listing.page(config.store_id, campaign.campaign_id, after="", limit=1)
                rows.append((config, campaign, page.counts))
        return pages.render(request, "campaigns.html", rows=rows)

    @router.get("/stores/{store_id}", dependencies=signed_in)
    async def one_store(request: Request, store_id: str) -> HTMLResponse:
        try:
            config = await stores.find(store_id)
        except NoSuchStore:
            raise Problem(404, "No such store") from None
        rows = [
            (campaign, (await listing.page(store_id, campaign.campaign_id, after="", limit=1)).counts)
            for campaign in await campaigns.of_store(store_id)
        ]
        return pages.render(request, "store.html", store=config, rows=rows)

    @router.get("/stores/{store_id}/campaigns/{campaign_id}", dependencies=signed_in)
    async def one_campaign(request: Request, store_id: str, campaign_id: str, after: str = "") -> HTMLResponse:
        config, campaign = await found(store_id, campaign_id)
        try:
            page = await listing.page(store_id, campaign_id, after=after, limit=_JOURNEYS)
        except BadCursor:
            raise Problem(422, "Not a page", field="query/after") from None
        decisions = await listing.recent_decisions(store_id, campaign_id, _DECISIONS)
        return pages.render(
            request,
            "campaign.html",
            store=config,
            campaign=campaign,
            page=page,
            decisions=decisions,
            continued=bool(after),
        )

    @router.post("/stores/{store_id}/campaigns/{campaign_id}/status", dependencies=signed_in)
    async def set_status(store_id: str, campaign_id: str, status: str = Form()) -> Response:
        if status not in (ACTIVE, PAUSED):
            raise Problem(422, "No such status", field="/status")
        try:
            await campaigns.change(store_id, campaign_id, lambda campaign: replace(campaign, status=status))
        except (NoSuchStore, NoSuchCampaign):
            raise Problem(404, "No such campaign") from None
        except CampaignRefused as error:
            raise Problem(422, "The campaign is not valid", str(error)) from error
        return RedirectResponse(f"/stores/{store_id}/campaigns/{campaign_id}", 303)

    @router.get("/stores/{store_id}/campaigns/{campaign_id}/steps/{number}", dependencies=signed_in)
    async def one_step(request: Request, store_id: str, campaign_id: str, number: int) -> HTMLResponse:
        config, campaign = await found(store_id, campaign_id)
        if not 0 <= number < len(campaign.steps):
            raise Problem(404, "No such step")
        fault, mail = "", None
        try:
            mail = preview(config, campaign.steps[number])
        except Unwritable as error:
            fault = str(error)
        return pages.render(
            request, "step.html", store=config, campaign=campaign, number=number, mail=mail, fault=fault
        )

    @router.get("/stores/{store_id}/campaigns/{campaign_id}/steps/{number}/preview", dependencies=signed_in)
    async def step_preview(store_id: str, campaign_id: str, number: int) -> HTMLResponse:
        config, campaign = await found(store_id, campaign_id)
        if not 0 <= number < len(campaign.steps):
            raise Problem(404, "No such step")
        try:
            mail = preview(config, campaign.steps[number])
        except Unwritable as error:
            raise Problem(422, "The template cannot be rendered", str(error)) from error
        return HTMLResponse(mail.html, headers={"content-security-policy": PREVIEW_POLICY})

    return router
