"""Orders and what became of them (orders).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """An order, as one source tells of it; readers fold by store and order."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    marks: tuple[str, ...] = ()
    order_id: str = ""
    cart_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    total: Money = Money()  # What was paid, with tax and shipping.
    discount: Money = Money()
    shipping: Money = Money()
    tax: Money = Money()
    lines: tuple[CartLine, ...] = ()
    coupons: tuple[str, ...] = ()
    locale: str = ""  # BCP 47.
    country: str = ""  # ISO 3166 alpha-2.
    time_zone: str = ""  # The person's IANA zone, where known.


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged:
    """An order was paid, refunded or cancelled."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    received_at: int = 0
    source: str = ""
    source_event_id: str = ""
    order_id: str = ""
    cart_id: str = ""
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    change: str = ""  # paid, refunded, cancelled.
    refunded: Money = Money()  # Refunded by this change.
    reason: str = ""
