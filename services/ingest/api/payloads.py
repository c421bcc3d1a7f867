"""The native payloads: what a shop's own site, app or server sends. Amounts are in major units; null means absent."""

import difflib
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from services.ingest.api.bodies import printable
from services.ingest.domain import plain
from services.ingest.domain.clock import parse_rfc3339
from services.ingest.domain.translation import Flaw

LARGEST_QUANTITY = 100_000
LARGEST_STOCK = 1_000_000_000
MOST_LINES = 500
LONGEST_ID = 200
LONGEST_TEXT = 500
MOST_FLAWS = 50


def _time(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("write the time as RFC 3339 with its offset, such as 2026-03-01T18:30:00Z")  # noqa: TRY004
    return parse_rfc3339(value)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a text has no NUL character")
    return value


def _id(value: str) -> str:
    value = value.strip()
    if not value.isprintable():
        raise ValueError("an id has no control characters")
    return value


def _pieces(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a quantity is a whole number")  # noqa: TRY004 - pydantic reads ValueError
    return value


def _trait(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


Amount = Annotated[
    Decimal,
    BeforeValidator(plain.amount),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*$"}],
            "description": "Major units of the currency, such as 19.90.",
        }
    ),
]
Time = Annotated[int, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Id = Annotated[str, StringConstraints(max_length=LONGEST_ID), AfterValidator(_id)]
Needed = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID, pattern=r"\S"), AfterValidator(_id)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_no_nul)]
Long = Annotated[str, AfterValidator(_no_nul)]
Currency = Annotated[str, AfterValidator(plain.currency), Field(description="ISO 4217; the store's where absent.")]
Quantity = Annotated[int, BeforeValidator(_pieces), Field(ge=0, le=LARGEST_QUANTITY)]
TraitName = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_no_nul)]
TraitValue = Annotated[
    str,
    BeforeValidator(_trait),
    StringConstraints(max_length=1000),
    AfterValidator(_no_nul),
    WithJsonSchema({"type": ["string", "number", "boolean"], "maxLength": 1000}),
]


class Payload(BaseModel):
    """Unknown fields are refused, so that a misspelt one is noticed and not lost."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


class Event(Payload):
    """What every event may say of itself and of its shopper."""

    event_id: Id = Field("", description="The shop's own id of the event. The same id again is the same event.")
    occurred_at: Time | None = Field(None, description="When it happened, by the sender's clock (RFC 3339).")
    sent_at: Time | None = Field(None, description="When it was sent, by the same clock; corrects a wrong one.")
    customer_id: Id = Field("", description="The shop's id of a signed-in customer.")
    anonymous_id: Id = Field("", description="The shop's id of a visitor who is not signed in (a first-party cookie).")
    email: Long = Field("", description="The shopper's e-mail address.", examples=["shopper@example.com"])
    phone: Long = Field("", description="With its country, or in the store's country.", examples=["+34600000000"])
    locale: Text = Field("", description="BCP 47, such as es-ES.")
    country: Text = Field("", description="ISO 3166 alpha-2.")
    time_zone: Text = Field("", description="The person's IANA zone, such as Europe/Madrid.")


class Line(Payload):
    """One line of a cart or an order."""

    product_id: Needed
    variant_id: Id = ""
    line_id: Id = Field("", description="Parts two lines of one product; product and variant where absent.")
    name: Text = ""
    quantity: Quantity | None = Field(
        None, description="Pieces, 1 where absent. item_removed without it takes the whole line out."
    )
    unit_price: Amount | None = Field(None, description="Price of one piece as displayed, in major units.")
    discount: Amount | None = Field(None, description="Discount on the whole line, in major units.")
    url: Long = ""
    image_url: Long = ""
    category: Text = ""
    brand: Text = ""


Lines = Annotated[tuple[Line, ...], Field(max_length=MOST_LINES)]


class CartEvent(Event):
    """What a shopper did with a cart."""

    event: Literal[
        "product_viewed",
        "cart_updated",
        "item_added",
        "item_removed",
        "item_set",
        "cart_emptied",
        "checkout_step",
        "contact_captured",
    ] = Field(
        description="cart_updated carries the whole cart; item_added, item_removed and item_set only the lines concerned "
        "(quantities added, taken out, or now in the cart)."
    )
    cart_id: Id = Field("", description="Where absent, the event counts for the shopper's open cart.")
    session_id: Id = ""
    device: Text = Field("", description="desktop, mobile, tablet, app, …")
    user_agent: Long = Field("", description="The shopper's, when a server sends on their behalf.")
    lines: Lines | None = None
    discount: Amount | None = Field(None, description="Discount on the whole cart (cart_updated).")
    currency: Currency = ""
    cart_url: Long = Field("", description="Where the shopper finds this cart again; on the shop's own host.")
    step: Id = Field("", description="started, contact, shipping, payment, … (checkout_step).")
    product_id: Id = Field("", description="The product viewed (product_viewed).")


class Order(Event):
    """An order that was placed, or what became of it."""

    event: Literal["order_placed", "order_paid", "order_refunded", "order_cancelled"] = "order_placed"
    order_id: Needed
    cart_id: Id = Field("", description="The cart that became the order; where absent, the shopper's open cart.")
    currency: Currency = ""
    total: Amount | None = Field(None, description="What was paid, with tax and shipping.")
    discount: Amount | None = None
    shipping: Amount | None = None
    tax: Amount | None = None
    lines: Lines = ()
    coupons: Annotated[tuple[Text, ...], Field(max_length=50)] = ()
    refunded: Amount | None = Field(None, description="What this refund gave back (order_refunded).")
    reason: Text = ""


class CatalogueProduct(Payload):
    """A product of the catalogue, whole: what is left out is not known any more."""

    event_id: Id = Field("", description="The shop's own id of the change. The same id again is the same change.")
    occurred_at: Time | None = Field(None, description="When it changed, by the sender's clock (RFC 3339).")
    sent_at: Time | None = Field(None, description="When it was sent, by the same clock; corrects a wrong one.")
    product_id: Needed
    name: Text = ""
    url: Long = Field("", description="Its page in the shop.")
    image_url: Long = ""
    price: Amount | None = Field(None, description="Of one piece as displayed, in major units.")
    compare_at_price: Amount | None = Field(None, description="What it cost before, where it is reduced.")
    currency: Currency = ""
    stock: Annotated[int, BeforeValidator(_pieces), Field(ge=0, le=LARGEST_STOCK)] | None = Field(
        None, description="Pieces; unknown where absent."
    )
    available: bool | None = Field(None, description="Whether it can be bought; where absent, unless stock is 0.")
    category: Text = ""
    brand: Text = ""


class Consent(Payload):
    """A word on a channel."""

    channel: Literal["email", "sms", "push", "whatsapp"]
    state: Literal["granted", "revoked"]
    by: Literal["person", "shop", "sync"] | None = Field(
        None, description="Whose word it is. A write key speaks for the person only; a secret key's default is shop."
    )
    address: Long = Field("", description="The customer's e-mail or phone where absent; for push the device's token.")
    evidence: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_no_nul)] = Field(
        "", description="What shows a grant: the form and the words shown. Undoing a person's own no needs it."
    )
    occurred_at: Time | None = None


class Customer(Event):
    """What is known of a customer: traits, identities, consent. What is absent did not change."""

    first_name: Text = ""
    last_name: Text = ""
    properties: Annotated[dict[TraitName, TraitValue], Field(max_length=50)] = Field(
        default_factory=dict, description="Other traits."
    )
    removed: Annotated[tuple[TraitName, ...], Field(max_length=50)] = Field(
        (), description="Traits taken away, by name."
    )
    consent: Annotated[tuple[Consent, ...], Field(max_length=20)] = ()


def flaws_of(error: ValidationError, payload: type[Payload]) -> list[Flaw]:
    """Fields and what is wrong with them, never their values: they may be personal. The first MOST_FLAWS of them."""
    flaws = []
    has_guessed = False
    for found in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_FLAWS]:
        path = [printable(str(part)) for part in found["loc"]]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
        detail = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            near: list[str] = []
            if len(path) == 1 and not has_guessed:  # Costs far more than reading the event: one guess shows the way.
                near = difflib.get_close_matches(path[-1], payload.model_fields, 1)
                has_guessed = True
            detail = "no such field" + (f"; is {near[0]} meant?" if near else "")
        flaws.append(Flaw(pointer, detail))
    return flaws
