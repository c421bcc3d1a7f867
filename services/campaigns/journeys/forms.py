"""Campaigns and journeys over HTTP."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.campaigns.journeys.domain.campaign import Campaign, Step
from services.campaigns.stores.domain import durations
from trolleybus.envelope import rfc3339

Seconds = Annotated[
    int, BeforeValidator(lambda value: durations.seconds(value) if isinstance(value, str | int) else value)
]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepForm(Form):
    """`delay` counts from the entry for the first step, from the step before for the others. The rest is Liquid."""

    delay: Seconds = Field(default=0, examples=["0s", "1d"])
    channel: str = "email"
    subject: str
    html: str
    text: str

    def step(self) -> Step:
        return Step(
            delay_seconds=self.delay, channel=self.channel, subject=self.subject, html=self.html, text=self.text
        )


class CampaignChange(Form):
    """What is left out stays as it is. Durations read 15s, 15m, 1h, 2d or are seconds."""

    name: str | None = None
    status: str | None = Field(default=None, examples=["draft", "active", "paused"])
    entry_level: Seconds | None = Field(default=None, examples=["15m"], description="One of the store's levels")
    reentry: Seconds | None = Field(default=None, examples=["7d"], description="A cart enters once in this time")
    holdout_share: float | None = Field(default=None, examples=[0.1], description="From 0 to 0.5")
    steps: list[StepForm] | None = None

    def apply(self, campaign: Campaign) -> Campaign:
        changes: dict[str, Any] = {
            name: value
            for name, value in (
                ("name", self.name),
                ("status", self.status),
                ("entry_level", self.entry_level),
                ("reentry_seconds", self.reentry),
                ("holdout_share", self.holdout_share),
                ("steps", None if self.steps is None else tuple(step.step() for step in self.steps)),
            )
            if value is not None
        }
        return replace(campaign, **changes)


class NewCampaign(CampaignChange):
    """The entry level is the store's first unless it is given; the status is draft."""

    name: str


class CampaignView(BaseModel):
    campaign_id: str
    store_id: str
    version: int
    name: str
    status: str
    entry_level_seconds: int
    reentry_seconds: int
    holdout_share: float
    steps: list["StepView"]
    created_at: str
    updated_at: str


class StepView(BaseModel):
    delay_seconds: int
    channel: str
    subject: str
    html: str
    text: str


class CampaignList(BaseModel):
    items: list[CampaignView]


class PreviewForm(Form):
    """A step by its number from 0, or templates that are not saved yet."""

    step: int | None = Field(default=None, ge=0)
    templates: StepForm | None = None


class PreviewView(BaseModel):
    subject: str
    html: str
    text: str


class JourneyView(BaseModel):
    journey_id: str
    cart_id: str
    customer_id: str
    status: str = Field(description="waiting, active, held, held_out, skipped, exited")
    reason: str = Field(description="Why it was skipped or ended")
    step: int
    steps_sent: int
    message_outstanding: bool
    due_at: str | None
    entered_at: str | None
    created_at: str


class JourneyPage(BaseModel):
    items: list[JourneyView]
    next: str | None = Field(description="Give it as `after` for the next page")
    counts: dict[str, int] = Field(description="All journeys of the campaign by status")


def view(campaign: Campaign) -> CampaignView:
    return CampaignView(
        campaign_id=campaign.campaign_id,
        store_id=campaign.store_id,
        version=campaign.version,
        name=campaign.name,
        status=campaign.status,
        entry_level_seconds=campaign.entry_level,
        reentry_seconds=campaign.reentry_seconds,
        holdout_share=campaign.holdout_share,
        steps=[
            StepView(
                delay_seconds=step.delay_seconds,
                channel=step.channel,
                subject=step.subject,
                html=step.html,
                text=step.text,
            )
            for step in campaign.steps
        ],
        created_at=rfc3339(campaign.created_at),
        updated_at=rfc3339(campaign.updated_at),
    )


def journey_view(row: dict[str, Any]) -> JourneyView:
    return JourneyView(
        journey_id=row["journey_id"],
        cart_id=row["cart_id"],
        customer_id=row["customer_id"],
        status=row["status"],
        reason=row["reason"],
        step=row["step"],
        steps_sent=row["steps_sent"],
        message_outstanding=bool(row["message_id"]),
        due_at=rfc3339(row["due_at"]) if row["due_at"] else None,
        entered_at=rfc3339(row["entered_at"]) if row["entered_at"] else None,
        created_at=rfc3339(row["created_at"]),
    )
