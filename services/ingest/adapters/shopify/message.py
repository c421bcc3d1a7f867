"""What every webhook has: its shopper, its time, amounts as texts in the shop's own currency."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.ingest.adapters.draft import Draft, Named
from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.shopify.delivery import Delivery
from services.ingest.domain import plain
from services.ingest.domain.clock import YEAR_MS, event_time
from services.ingest.domain.translation import Canonical, Flaw, Translation
from trolleybus.contracts.money import BadAmount, Money, from_decimal

SOURCE = "shopify"
ANONYMOUS_ID = ("_trolleybus_anonymous_id", "trolleybus_anonymous_id")
"""Attributes of a cart by which a shop's pages say whose it is. Shopify's themes do not show those that begin with _."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """As it came: its topic, the object in its body, its headers."""

    topic: str
    root: Fields
    left_out: list[Flaw]
    delivery: Delivery
    arrival: Arrival

    def of_nobody(self) -> "Message":
        """What is said of a thing, not of a person."""
        return self._message(Named(channel=self.topic, own_id=self.delivery.event_id, occurred_at=self._happened()))

    def of_person(
        self,
        customer: Fields,
        *,
        cart_token: str = "",
        checkouts: Iterable[str] = (),
        country: Fields | None = None,
    ) -> "Message":
        """What is said of a customer or of someone who checks out, whose address stands on both objects."""
        root = self.root
        email, phone = _first("email", root, customer), _first("phone", root, customer)
        default_address = customer.inner("default_address")
        home = country if country is not None else default_address
        tokens = [("cart", cart_token), *(("checkout", one) for one in dict.fromkeys(checkouts))]
        return self._message(
            Named(
                channel=self.topic,
                own_id=self.delivery.event_id,
                occurred_at=self._happened(),
                customer_id=customer.id("id"),
                anonymous_id=_anonymous_id(root),
                email=email.text("email"),
                phone=phone.text("phone"),
                locale=root.text("customer_locale") or customer.text("locale"),
                country=home.text("country_code") or default_address.text("country_code"),
                cart_id=cart_token,
                tokens=tuple((kind, value) for kind, value in tokens if value),
                places={
                    "email": email.where("email"),
                    "phone": phone.where("phone"),
                    "locale": root.where("customer_locale"),
                    "country": home.where("country_code"),
                },
            )
        )

    def _message(self, named: Named) -> "Message":
        draft = Draft(SOURCE, named, self.arrival)
        self.left_out.extend(draft.left_out)
        draft.left_out = self.left_out
        received_at = self.arrival.received_at
        return Message(
            self.topic,
            self.root,
            draft,
            occurred_at=event_time(named.occurred_at, None, received_at, received_at - YEAR_MS),
            currency=draft.currency(self.root.currency("currency") or _currency_of_lines(self.root)),
            anonymous_id=named.anonymous_id,
        )

    def _happened(self) -> int | None:
        """A redelivery tells the same as the first: what it was triggered at, else what the body says."""
        if self.delivery.triggered_at is not None:
            return self.delivery.triggered_at
        return self.root.time("updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook whose shopper is known."""

    topic: str
    root: Fields
    draft: Draft
    occurred_at: int
    currency: str
    anonymous_id: str

    def require(self, value: str, name: str, what: str) -> str:
        """A value without which the webhook says nothing. Raises Refused."""
        if not value:
            raise Refused(Flaw(f"/{name}", what))
        return value

    def money(self, fields: Fields, *names: str, currency: str = "") -> Money:
        return self.rounded(fields, *names, currency=currency)[0]

    def rounded(self, fields: Fields, *names: str, currency: str = "") -> tuple[Money, bool]:
        """An amount, and whether it was finer than minor units. One that cannot be read is left out: an order is an
        order without it."""
        amount = fields.amount(*names)
        if amount is None:
            return Money(), False
        try:
            return from_decimal(amount, currency or self.currency)
        except BadAmount as error:
            fields.leave_out(next(filter(fields.has, names)), str(error))
            return Money(), False

    def link(self, fields: Fields, name: str) -> str:
        """An address that will stand in messages."""
        text = fields.values.get(name)
        return self.draft.soft(fields.where(name), text, plain.web_address) if isinstance(text, str) else ""

    def translation(self, *records: Canonical, own_cart: str = "") -> Translation:
        self.draft.refuse_flawed()
        return self.draft.translation(self.topic, records, own_cart)


def token_of(text: str) -> str:
    """A token alone: its secret part (?key=…), which some versions append, is no part of its name."""
    return text.partition("?")[0]


def shop_money(fields: Fields, name: str) -> Fields:
    """The shop's side of an amount in two currencies: an object with amount and currency_code."""
    return fields.inner(name).inner("shop_money")


def _currency_of_lines(root: Fields) -> str:
    """A cart has no currency of its own; the amounts in two currencies of its lines have."""
    for line in (root.each("line_items") or ())[:1]:
        for name in ("price_set", "original_price_set", "line_price_set"):
            if currency := shop_money(line, name).currency("currency_code"):
                return currency
    return ""


def _first(name: str, *places: Fields) -> Fields:
    return next((place for place in places if place.has(name)), places[0])


def _anonymous_id(root: Fields) -> str:
    """From the cart's attributes: a list of names and values on checkouts and orders, an object on carts."""
    for name in ("attributes", "note_attributes"):
        if found := root.inner(name).id(*ANONYMOUS_ID):
            return found
        for one in root.each(name) or ():
            if one.values.get("name") in ANONYMOUS_ID:
                return one.id("value")
    return ""
