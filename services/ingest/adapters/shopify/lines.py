"""Lines of carts, checkouts and orders, which differ in names only."""

from dataclasses import replace

from services.ingest.adapters.fields import Fields
from services.ingest.adapters.shopify.message import Message
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import LARGEST_MINOR, Money


def lines_of(message: Message) -> tuple[CartLine, ...]:
    """Every line that has something of it to be told by."""
    found = (_line(message, line) for line in message.root.each("line_items") or ())
    return tuple(line for line in found if line is not None)


def _line(message: Message, line: Fields) -> CartLine | None:
    product_id, variant_id = line.id("product_id"), line.id("variant_id")
    title = line.text("title", "name", "presentment_title")
    # A line that a person typed in the shop's admin is of no product.
    product_id = product_id or variant_id or line.id("sku") or title
    line_id = line.id("key", "id") or (f"{product_id}:{variant_id}" if variant_id else product_id)
    if not product_id:
        line.leave_out("product_id", "a line that names no product is left out")
        return None
    quantity = line.quantity("quantity")
    quantity = 1 if quantity is None else quantity
    price, was_rounded = message.rounded(line, "original_price", "price")
    if price.minor * quantity > LARGEST_MINOR:
        line.leave_out("quantity", "so many at this price is no amount that can be paid")
        return None
    variant = line.text("variant_title")
    return CartLine(
        line_id=line_id,
        product_id=product_id,
        variant_id=variant_id,
        name=f"{title} - {variant}" if variant and variant not in title else title,
        quantity=quantity,
        unit_price=price,
        discount=message.money(line, "total_discount"),
        image_url=_image_of(message, line),
        brand=line.text("vendor"),
        price_rounded=was_rounded,
    )


def _image_of(message: Message, line: Fields) -> str:
    image = line.inner("featured_image")
    place, name = (image, "url") if image.has("url") else (line, "image_url")
    return message.link(place, name)


def rest_of_discount(lines: tuple[CartLine, ...], whole: Money) -> Money:
    """What a discount takes off beyond what its lines say themselves."""
    return replace(whole, minor=max(0, whole.minor - sum(line.discount.minor for line in lines)))
