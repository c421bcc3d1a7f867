"""/api/v1/stores/{store_id}/campaigns."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from services.campaigns.content.mail import Unwritable
from services.campaigns.journeys.campaigns import CampaignRefused, Campaigns, InUse, NoSuchCampaign, preview
from services.campaigns.journeys.domain.campaign import Campaign
from services.campaigns.journeys.forms import (
    CampaignChange,
    CampaignList,
    CampaignView,
    JourneyPage,
    NewCampaign,
    PreviewForm,
    PreviewView,
    journey_view,
    view,
)
from services.campaigns.journeys.listing import LARGEST_PAGE, BadCursor, Listing
from services.campaigns.stores.api import store_not_found
from services.campaigns.stores.service import NoSuchStore
from trolleybus.contracts.stores import StoreConfig
from trolleybus.http import FieldError, Problem, json_body_required
from trolleybus.security import Operator


def campaign_not_found(campaign_id: str) -> Problem:
    return Problem(404, "No such campaign", f"the store has no campaign {campaign_id[:80]!r}")


def campaigns_router(  # noqa: PLR0915 - a router is a list of its routes
    campaigns: Campaigns, listing: Listing, operator: Callable[[Request], Operator]
) -> APIRouter:
    router = APIRouter(
        prefix="/api/v1/stores/{store_id}/campaigns", tags=["campaigns"], dependencies=[Depends(operator)]
    )
    json_body = [Depends(json_body_required)]

    async def found(store_id: str, campaign_id: str) -> tuple[StoreConfig, Campaign]:
        try:
            return await campaigns.find(store_id, campaign_id)
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except NoSuchCampaign:
            raise campaign_not_found(campaign_id) from None

    @router.get("")
    async def of_store(store_id: str) -> CampaignList:
        try:
            return CampaignList(items=[view(campaign) for campaign in await campaigns.of_store(store_id)])
        except NoSuchStore:
            raise store_not_found(store_id) from None

    @router.post("", status_code=201, dependencies=json_body)
    async def create(store_id: str, form: NewCampaign) -> CampaignView:
        try:
            return view(await campaigns.create(form.apply(Campaign(store_id=store_id))))
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except CampaignRefused as error:
            raise _as_problem(error) from error

    @router.get("/{campaign_id}")
    async def one(store_id: str, campaign_id: str) -> CampaignView:
        return view((await found(store_id, campaign_id))[1])

    @router.patch("/{campaign_id}", dependencies=json_body)
    async def change(store_id: str, campaign_id: str, form: CampaignChange) -> CampaignView:
        try:
            return view(await campaigns.change(store_id, campaign_id, form.apply))
        except NoSuchStore:
            raise store_not_found(store_id) from None
        except NoSuchCampaign:
            raise campaign_not_found(campaign_id) from None
        except CampaignRefused as error:
            raise _as_problem(error) from error

    @router.delete("/{campaign_id}", status_code=204)
    async def delete(store_id: str, campaign_id: str) -> None:
        try:
            await campaigns.delete(store_id, campaign_id)
        except NoSuchCampaign:
            raise campaign_not_found(campaign_id) from None
        except InUse:
            raise Problem(409, "The campaign has journeys", "pause it: what it did must stay traceable") from None

    @router.post("/{campaign_id}/preview", dependencies=json_body)
    async def show(store_id: str, campaign_id: str, form: PreviewForm) -> PreviewView:
        config, campaign = await found(store_id, campaign_id)
        if form.templates is not None:
            step = form.templates.step()
        else:
            number = form.step or 0
            if number >= len(campaign.steps):
                raise Problem(404, "No such step", f"the campaign has {len(campaign.steps)} steps", field="/step")
            step = campaign.steps[number]
        try:
            mail = preview(config, step)
        except Unwritable as error:
            raise Problem(422, "The template cannot be rendered", str(error), field=f"/{error.fault.field}") from error
        return PreviewView(subject=mail.subject, html=mail.html, text=mail.text)

    @router.get("/{campaign_id}/journeys")
    async def journeys(
        store_id: str,
        campaign_id: str,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 50,
        status: str = "",
    ) -> JourneyPage:
        await found(store_id, campaign_id)
        try:
            page = await listing.page(store_id, campaign_id, after=after, limit=limit, status=status)
        except BadCursor:
            raise Problem(422, "Not a page", "give the `next` of the page before", field="query/after") from None
        return JourneyPage(items=[journey_view(row) for row in page.rows], next=page.next, counts=page.counts)

    return router


def _as_problem(error: CampaignRefused) -> Problem:
    return Problem(
        422,
        "The campaign is not valid",
        str(error),
        errors=[FieldError(f"/{fault.field}", fault.detail) for fault in error.faults],
    )
