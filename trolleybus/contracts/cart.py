"""What shoppers do with their carts (cart.activity).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class CartLine:
    """One line of a cart or an order."""

    line_id: str = ""  # Identifies the line within its cart; product and variant when the source has none.
    product_id: str = ""
    variant_id: str = ""
    name: str = ""
    quantity: int = 0  # Pieces; for increments the difference, negative when taken out.
    unit_price: Money = Money()  # Price a piece as displayed.
    discount: Money = Money()  # Discount on the whole line.
    url: str = ""
    image_url: str = ""
    category: str = ""
    brand: str = ""
    price_rounded: bool = False  # The source's price was finer than the currency's minor unit.


@dataclass(frozen=True, slots=True, kw_only=True)
class CartActivity:
    """What a shopper did with a cart."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    config_version: int = 0  # Version of the store's setting, stamped by the gateway.
    marks: tuple[str, ...] = ()  # bot, incomplete, ...: marked records are ignored by detection.
    kind: str = ""  # product_viewed, snapshot, lines_set, lines_added, lines_removed, cart_emptied, checkout_step, contact_captured, order_placed, import_ended.
    cart_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    anonymous_id: str = ""
    session_id: str = ""
    device: str = ""  # desktop, mobile, tablet, app, ...
    email: str = ""  # Normalised, in clear.
    phone: str = ""  # E.164, in clear.
    currency: str = ""  # ISO 4217.
    lines: tuple[
        CartLine, ...
    ] = ()  # snapshot: the whole cart; lines_set: new absolute lines; lines_added: differences; lines_removed: lines taken out whole.
    discount: Money = Money()  # Discount on the whole cart (snapshot).
    step: str = ""  # Checkout step: started, contact, shipping, payment, ...
    product_id: str = ""  # The product viewed.
    order_id: str = ""  # The order that ends the cart.
    total: Money = Money()  # The order's total.
    cart_url: str = ""  # Where the shopper finds the cart again.
    locale: str = ""  # BCP 47.
    country: str = ""  # ISO 3166 alpha-2.
    time_zone: str = ""  # The person's IANA zone, where known.
