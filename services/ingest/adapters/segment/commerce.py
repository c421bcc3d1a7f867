"""Track calls of the e-commerce spec (v2, and v1's names for the same)."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Refused
from services.ingest.adapters.segment.message import Message
from services.ingest.domain import plain
from services.ingest.domain.translation import Canonical, Flaw, Translation
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import LARGEST_MINOR, Money
from trolleybus.contracts.orders import OrderChanged, OrderPlaced

BROWSED = "browsed"
"""A shopper is there, and the cart stays as it is."""

_ABSENT = Money()


def translation(message: Message) -> Translation:
    """The records of a track call; an event that is not of the spec is taken and makes none. Raises Refused."""
    name = message.root.text("event")
    if not name:
        raise Refused(Flaw("/event", "a track call names its event"))
    key = "".join(char for char in name.lower() if char.isalnum())
    if key in _ORDERS:
        return _ORDERS[key](message)
    read = _CARTS.get(key)
    if read is None or not message.is_wanted:
        return message.left_aside(key if read else "other")
    message.require_somebody()
    step = key.startswith(("checkout", "payment"))
    records = read(message)
    told = message.draft.person_records(message.cart_time, "checkout" if step else "login")
    return message.translation(key, *told, *records)


# --- carts ------------------------------------------------------------------------------------------------------------


def _viewed(message: Message) -> list[CartActivity]:
    product = message.properties
    return [_activity(message, "product_viewed", product_id=product.id(*_PRODUCT_ID))]


def _browsed(message: Message) -> list[CartActivity]:
    return [_activity(message, BROWSED)]


def _added(message: Message) -> list[CartActivity]:
    lines = _lines(message, _products(message))
    if not lines:
        raise Refused(*message.draft.left_out, Flaw(_where_product(message), "name the product that was added"))
    return [_activity(message, "lines_added", lines=lines)]


def _removed(message: Message) -> list[CartActivity]:
    products = _products(message)
    lines = _lines(message, products)
    if not lines:
        raise Refused(*message.draft.left_out, Flaw(_where_product(message), "name the product that was removed"))
    if all(product.has("quantity") for product in products):
        return [_activity(message, "lines_added", lines=tuple(map(_taken_out, lines)))]
    return [_activity(message, "lines_removed", lines=lines)]


def _cart(message: Message) -> list[CartActivity]:
    """The whole cart, where the event carries it."""
    products = message.properties.each("products")
    place = message.properties if message.properties.has("cart_url") else message.context.inner("page")
    address = place.text("cart_url", "url")
    cart_url = message.draft.soft(place.where("cart_url", "url"), address, message.draft.shop_address)
    if products is None:
        return [_activity(message, BROWSED, cart_url=cart_url)]
    return [_activity(message, "snapshot", cart_url=cart_url, **_contents(message, products))]


def _checkout_started(message: Message) -> list[CartActivity]:
    products = message.properties.each("products")
    step = _activity(message, "checkout_step", ordinal=1, step="started")
    if not products:  # An empty cart cannot be checked out: the list was left out.
        return [step]
    return [_activity(message, "snapshot", **_contents(message, products)), step]


def _step(message: Message) -> list[CartActivity]:
    return [_activity(message, "checkout_step", step=message.properties.id("step_name", "step", "name") or "step")]


def _payment(message: Message) -> list[CartActivity]:
    return [_activity(message, "checkout_step", step="payment")]


def _contents(message: Message, products: list[Fields]) -> dict[str, Any]:
    return {"lines": _lines(message, products), "discount": _money(message, message.properties, "discount")}


def _activity(message: Message, kind: str, ordinal: int = 0, **more: Any) -> CartActivity:
    draft, context, properties = message.draft, message.context, message.properties
    return CartActivity(
        **draft.stamp("CartActivity", message.cart_time, ordinal),
        config_version=draft.arrival.store.version,
        marks=message.marks,
        kind=kind,
        cart_id=properties.id("cart_id", "cartId"),
        anonymous_id=message.root.id("anonymousId", "anonymous_id"),
        session_id=context.id("sessionId", "session_id"),
        device=_device(context),
        email=draft.email,
        phone=draft.phone,
        currency=_currency(message),
        **draft.place,
        **more,
    )


def _device(context: Fields) -> str:
    kind = context.inner("device").text("type")
    is_mobile = context.inner("userAgentData").values.get("mobile")
    return (
        kind or {True: "mobile", False: "desktop"}.get(is_mobile is True, "") if isinstance(is_mobile, bool) else kind
    )


# --- orders: taken whatever a message's integrations say, since an order ends the reminders of its cart ---------------


def _order_completed(message: Message) -> Translation:
    draft, properties = message.draft, message.properties
    total = _total(message)
    order_id = properties.id("order_id", "orderId")
    if not order_id:
        properties.leave_out("order_id", "without it, no other telling of this order is known to be the same one")
        order_id = properties.id("checkout_id", "checkoutId") or draft.event_id
    cart_id = properties.id("cart_id", "cartId")
    placed = OrderPlaced(
        **draft.stamp("OrderPlaced", message.occurred_at),
        order_id=order_id,
        cart_id=cart_id,
        total=total,
        discount=_money(message, properties, "discount"),
        shipping=_money(message, properties, "shipping"),
        tax=_money(message, properties, "tax"),
        lines=_lines(message, properties.each("products") or []),
        coupons=tuple(filter(None, [properties.text("coupon")])),
        **draft.place,
    )
    records: list[Canonical] = [placed, *draft.person_records(message.occurred_at, "checkout")]
    if draft.key or cart_id:
        ended = _activity(message, "order_placed", order_id=order_id, total=total)
        records.append(replace(ended, occurred_at=message.occurred_at, marks=()))
    return message.translation("ordercompleted", *records)


def _order_changed(change: str, kind: str) -> Callable[[Message], Translation]:
    def read(message: Message) -> Translation:
        properties = message.properties
        order_id = properties.id("order_id", "orderId")
        if not order_id:
            raise Refused(Flaw("/properties/order_id", "name the order"))
        refunded = _money(message, properties, "total", "value", "revenue") if change == "refunded" else _ABSENT
        changed = OrderChanged(
            **message.draft.stamp("OrderChanged", message.occurred_at),
            order_id=order_id,
            cart_id=properties.id("cart_id", "cartId"),
            change=change,
            refunded=refunded,
            reason=properties.text("reason"),
        )
        return message.translation(kind, changed, *message.draft.person_records(message.occurred_at, "checkout"))

    return read


def _total(message: Message) -> Money:
    """What was paid: as it is said, else revenue with the shipping and tax that the spec leaves out of it."""
    properties = message.properties
    paid = properties.amount("total", "value")
    if paid is None:
        revenue = properties.amount("revenue", "subtotal")
        if revenue is None:
            return _ABSENT
        paid = revenue + sum((properties.amount(name) or Decimal(0) for name in ("shipping", "tax")), Decimal(0))
    return message.draft.money("/properties/total", paid, _currency(message))


# --- parts ------------------------------------------------------------------------------------------------------------

_PRODUCT_ID = ("product_id", "productId", "id", "sku")
_VARIANT_ID = ("variant_id", "variantId", "variant", "sku")


def _products(message: Message) -> list[Fields]:
    return message.properties.each("products") or [message.properties]


def _where_product(message: Message) -> str:
    return f"{message.properties.at}/product_id"


def _lines(message: Message, products: Iterable[Fields]) -> tuple[CartLine, ...]:
    """One line a product and variant, however often it is listed."""
    lines: dict[str, CartLine] = {}
    for product in products:
        line = _line(message, product)
        if line is None:
            continue
        known = lines.get(line.line_id)
        lines[line.line_id] = line if known is None else replace(line, quantity=known.quantity + line.quantity)
    return tuple(lines.values())


def _line(message: Message, product: Fields) -> CartLine | None:
    draft = message.draft
    product_id = product.id(*_PRODUCT_ID)
    if not product_id:
        product.leave_out("product_id", "a line without its product is left out")
        return None
    variant_id = product.id(*_VARIANT_ID)
    variant_id = "" if variant_id == product_id else variant_id
    quantity = product.quantity("quantity")
    quantity = 1 if quantity is None else quantity
    price, was_rounded = draft.rounded(product.where("price"), product.amount("price"), _currency(message))
    if price.minor * quantity > LARGEST_MINOR:
        product.leave_out("price", "so many at this price is no amount that can be paid")
        price, was_rounded = _ABSENT, False
    return CartLine(
        line_id=f"{product_id}:{variant_id}" if variant_id else product_id,
        product_id=product_id,
        variant_id=variant_id,
        name=product.text("name", "title"),
        quantity=quantity,
        unit_price=price,
        url=draft.soft(product.where("url"), product.text("url"), draft.shop_address),
        image_url=draft.soft(
            product.where("image_url", "imageUrl"), product.text("image_url", "imageUrl"), plain.web_address
        ),
        category=product.text("category"),
        brand=product.text("brand"),
        price_rounded=was_rounded,
    )


def _taken_out(line: CartLine) -> CartLine:
    """As the difference that it makes."""
    return CartLine(
        line_id=line.line_id, product_id=line.product_id, variant_id=line.variant_id, quantity=-line.quantity
    )


def _money(message: Message, fields: Fields, *names: str) -> Money:
    return message.draft.money(fields.where(*names), fields.amount(*names), _currency(message))


def _currency(message: Message) -> str:
    return message.draft.currency(message.properties.currency("currency"))


_CARTS: dict[str, Callable[[Message], list[CartActivity]]] = {
    **dict.fromkeys(["productviewed", "viewedproduct", "productclicked", "clickedproduct"], _viewed),
    **dict.fromkeys(["productadded", "addedproduct", "wishlistproductaddedtocart"], _added),
    **dict.fromkeys(["productremoved", "removedproduct"], _removed),
    **dict.fromkeys(["cartviewed", "viewedcart", "cartupdated"], _cart),
    **dict.fromkeys(["checkoutstarted", "startedorder"], _checkout_started),
    **dict.fromkeys(
        ["checkoutstepviewed", "viewedcheckoutstep", "checkoutstepcompleted", "completedcheckoutstep"], _step
    ),
    "paymentinfoentered": _payment,
    **dict.fromkeys(
        [
            *("productssearched", "productlistviewed", "viewedproductcategory", "productlistfiltered"),
            *("promotionviewed", "viewedpromotion", "promotionclicked", "clickedpromotion"),
            *("couponentered", "couponapplied", "coupondenied", "couponremoved"),
            *("productaddedtowishlist", "productremovedfromwishlist", "productshared", "cartshared", "productreviewed"),
        ],
        _browsed,
    ),
}
_ORDERS: dict[str, Callable[[Message], Translation]] = {
    **dict.fromkeys(["ordercompleted", "completedorder"], _order_completed),
    **dict.fromkeys(["orderrefunded", "refundedorder"], _order_changed("refunded", "orderrefunded")),
    **dict.fromkeys(
        ["ordercancelled", "ordercanceled", "cancelledorder"], _order_changed("cancelled", "ordercancelled")
    ),
    # Before its completion an order is the checkout of a cart, after it nothing more: neither changes a cart.
    **dict.fromkeys(["orderupdated", "updatedorder"], lambda message: message.left_aside("orderupdated")),
}
