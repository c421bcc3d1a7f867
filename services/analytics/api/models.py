"""What the API answers. Times are ISO 8601 in the store's zone; amounts carry their currency and are never summed across."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from services.analytics.domain.carts import State
from trolleybus.contracts.money import Money


class Amount(BaseModel):
    minor: int = Field(description="Minor units of the currency, such as cents")
    currency: str = Field(description='ISO 4217; "" where the source named none', examples=["EUR"])
    text: str = Field(description="The same for reading, with a point", examples=["12.50 EUR"])

    @classmethod
    def of(cls, minor: int, currency: str) -> Amount:
        money = Money(minor=minor, currency=currency)
        return cls(minor=minor, currency=currency, text=str(money))


class Store(BaseModel):
    store_id: str
    name: str
    currency: str
    time_zone: str
    language: str
    active: bool


class Period(BaseModel):
    start: str = Field(serialization_alias="from", examples=["2026-11-20T00:00:00+01:00"])
    end: str = Field(serialization_alias="to")
    bucket: Literal["minute", "hour", "day"]
    time_zone: str


class Carts(BaseModel):
    seen: int = Field(description="Carts whose first activity is in the period")
    opened: int = Field(description="Carts whose first item is in the period")
    abandoned: int = Field(description="Carts on which a level fired for the first time in the period")
    recovered: int = Field(description="Carts ordered in the period after a level had fired, less cancelled orders")
    bots: int = Field(description="Carts that only marked bots touched; in no other figure")
    incomplete: int = Field(description="Sessions that named neither their shopper nor their cart; in no other figure")


class Level(BaseModel):
    level_seconds: int
    label: str = Field(examples=["15 min"])
    eligible: int = Field(
        description="Carts opened in the period that the level fired on, that ended, or that were silent for that long"
    )
    abandoned: int = Field(description="Those of them that the level fired on")
    rate: float | None = Field(description="abandoned / eligible; null without a cart")
    fired: int = Field(description="Times that the level fired in the period, whenever the cart was opened")
    value: list[Amount] = Field(description="What was in the carts when it fired, by currency")


class Rule(BaseModel):
    rule: str
    count: int


class Messages(BaseModel):
    """Messages first heard of in the period, by what ever became of them; one message may count in several."""

    requested: int
    waiting: int = Field(description="Requested, and nothing heard since")
    sent: int
    delivered: int
    opened: int = Field(description="Opened by a person, as far as can be told")
    clicked: int
    machine_only: int = Field(description="Opened or clicked by what is likely no person, and by nobody else")
    bounced: int
    complained: int
    unsubscribed: int
    deferred: int
    refused: int
    in_doubt: int = Field(description="The provider's answer is unknown and nothing settled it since")
    refused_by_rule: list[Rule]
    deferred_by_rule: list[Rule]
    skipped_by_rule: list[Rule] = Field(description="Carts that did not enter a campaign")


class Revenue(BaseModel):
    """Recovered orders of one currency. Assisted: a message about the cart was sent between abandonment and order."""

    currency: str
    carts: int
    total: Amount
    assisted_carts: int
    assisted: Amount
    unassisted_carts: int
    unassisted: Amount


class Recovered(BaseModel):
    carts: int
    assisted: int
    unassisted: int
    cancelled: int = Field(description="Recovered orders cancelled since; in no other figure")
    revenue: list[Revenue]


class Interval95(BaseModel):
    low: float
    high: float


class ArmFigures(BaseModel):
    journeys: int
    converted: int
    rate: float | None


class RevenueGap(BaseModel):
    """Revenue a journey (minor units): treated less held out."""

    currency: str
    treated: float
    held_out: float
    difference: float
    interval_95: Interval95 | None = Field(description="null for less than 30 journeys in an arm")


class Experiment(BaseModel):
    """Journeys entered in the period. Converted: an order of that cart or person within `window_days`."""

    window_days: int
    treated: ArmFigures
    held_out: ArmFigures
    uplift: float | None = Field(description="Difference of the rates, absolute: 0.02 is two percentage points")
    interval_95: Interval95 | None
    verdict: Literal["none", "too_few", "open", "better", "worse"]
    text: str = Field(description="The verdict in words")
    revenue_per_journey: list[RevenueGap]


class Series(BaseModel):
    """Counts for each bucket; `starts` are the begins of the buckets, `starts_ms` the same in ms since the epoch."""

    starts: list[str]
    starts_ms: list[int]
    opened: list[int]
    abandoned: list[int]
    recovered: list[int]


class Hours(BaseModel):
    """Counts by hour of the store's day, 0 to 23; an hour that occurs twice counts in its place."""

    opened: list[int]
    abandoned: list[int]
    recovered: list[int]


class Consent(BaseModel):
    channel: str
    granted: int
    revoked: int


class Dashboard(BaseModel):
    store: Store
    period: Period
    as_of: str
    carts: Carts
    levels: list[Level]
    messages: Messages
    recovered: Recovered
    experiment: Experiment
    series: Series
    hours: Hours
    consent: list[Consent] = Field(description="Addresses by the word that stands now, whatever the period")


class StoreList(BaseModel):
    stores: list[Store]


class Event(BaseModel):
    at: str
    at_ms: int
    what: str = Field(
        description="opened, abandoned, resumed, cleared, expired, recovered, ordered, entered, held_out, skipped, message_…",
        examples=["abandoned"],
    )
    level_seconds: int | None = None
    message_id: str | None = None
    detail: str | None = Field(None, description="Rule, channel or campaign, as fits")
    amount: Amount | None = None


class Cart(BaseModel):
    cart_id: str
    state: State
    opened_at: str
    last_activity_at: str
    contact_known: bool
    imported: bool
    time_line: list[Event]


class CartPage(BaseModel):
    store_id: str
    carts: list[Cart]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last")
