"""What detection needs of a record of cart.activity, and nothing more.

Structs, because they are what the hot path reads, keeps and writes; without cycle detection (`gc=False`), because they
hold texts, numbers and tuples of such, of which no cycle can be made. Times in ms; 0, "" and () mean absent.
"""

from __future__ import annotations

import msgspec

from trolleybus.contracts.cart import CartActivity, CartLine


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a cart; amounts in minor units of the currency after them."""

    line_id: str = ""
    product_id: str = ""
    variant_id: str = ""
    name: str = ""
    quantity: int = 0  # Pieces; for increments the difference.
    price: int = 0  # A piece's, as displayed.
    price_currency: str = ""
    discount: int = 0  # On the whole line.
    discount_currency: str = ""
    url: str = ""
    image_url: str = ""
    category: str = ""
    brand: str = ""
    price_rounded: bool = False


class Activity(msgspec.Struct, gc=False):
    """What a shopper did with a cart."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    config_version: int = 0
    marks: tuple[str, ...] = ()
    kind: str = ""
    cart_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    anonymous_id: str = ""
    email: str = ""
    phone: str = ""
    currency: str = ""
    lines: tuple[Line, ...] = ()
    discount: int = 0  # On the whole cart.
    discount_currency: str = ""
    step: str = ""
    order_id: str = ""
    total: int = 0
    total_currency: str = ""
    cart_url: str = ""
    locale: str = ""
    country: str = ""
    time_zone: str = ""


def activity_of(record: CartActivity) -> Activity:
    """The activity of a record of the contract."""
    return Activity(
        id=record.id,
        store_id=record.store_id,
        occurred_at=record.occurred_at,
        imported=record.imported,
        received_at=record.received_at,
        config_version=record.config_version,
        marks=record.marks,
        kind=record.kind,
        cart_id=record.cart_id,
        customer_id=record.customer_id,
        identities=record.identities,
        anonymous_id=record.anonymous_id,
        email=record.email,
        phone=record.phone,
        currency=record.currency,
        lines=tuple(line_of(line) for line in record.lines),
        discount=record.discount.minor,
        discount_currency=record.discount.currency,
        step=record.step,
        order_id=record.order_id,
        total=record.total.minor,
        total_currency=record.total.currency,
        cart_url=record.cart_url,
        locale=record.locale,
        country=record.country,
        time_zone=record.time_zone,
    )


def line_of(line: CartLine) -> Line:
    """The line of one of the contract; `effects.contract_line` is the way back."""
    return Line(
        line_id=line.line_id,
        product_id=line.product_id,
        variant_id=line.variant_id,
        name=line.name,
        quantity=line.quantity,
        price=line.unit_price.minor,
        price_currency=line.unit_price.currency,
        discount=line.discount.minor,
        discount_currency=line.discount.currency,
        url=line.url,
        image_url=line.image_url,
        category=line.category,
        brand=line.brand,
        price_rounded=line.price_rounded,
    )
