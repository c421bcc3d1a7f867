"""What the detector publishes (recovery.carts).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What made a record: the source record and the place among what it made."""

    topic: str = ""
    partition: int = 0
    offset: int = 0
    ordinal: int = 0  # 0 for the first record of that cause.


@dataclass(frozen=True, slots=True, kw_only=True)
class CartAbandoned:
    """A cart was left for as long as a level says."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    cart_id: str = ""
    episode_id: str = ""  # One run of the cart from its first item until it is closed.
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause: Cause = Cause()
    config_version: int = 0  # The store's setting in force.
    level: int = 0  # Number of the level, from 1, for display.
    level_seconds: int = 0  # The level: its silence in seconds.
    due_at: int = 0  # last_activity_at plus the level.
    fired_at: int = 0  # When the process published it; differs between repeats.
    opened_at: int = 0  # First item since the cart was last closed.
    first_activity_at: int = 0
    last_activity_at: int = 0
    contact_known: bool = False
    contact_channels: tuple[str, ...] = ()
    value: Money = Money()  # Lines after discounts.
    discount: Money = Money()  # Discount on the whole cart.
    lines: tuple[CartLine, ...] = ()
    step: str = ""  # Last checkout step seen.
    cart_url: str = ""
    locale: str = ""  # BCP 47.
    country: str = ""  # ISO 3166 alpha-2.
    time_zone: str = ""  # The person's IANA zone, where known.


@dataclass(frozen=True, slots=True, kw_only=True)
class CartResumed:
    """A shopper came back to a cart after a level had fired: a new episode."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    cart_id: str = ""
    episode_id: str = ""  # One run of the cart from its first item until it is closed.
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause: Cause = Cause()
    config_version: int = 0  # The store's setting in force.
    previous_episode_id: str = ""
    levels_fired: tuple[int, ...] = ()  # Seconds of the levels fired in the previous episode.
    opened_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CartCleared:
    """A cart was emptied by the shopper."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    cart_id: str = ""
    episode_id: str = ""  # One run of the cart from its first item until it is closed.
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause: Cause = Cause()
    config_version: int = 0  # The store's setting in force.
    levels_fired: tuple[int, ...] = ()
    opened_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CartRecovered:
    """An order ended a cart after a level had fired."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    cart_id: str = ""
    episode_id: str = ""  # One run of the cart from its first item until it is closed.
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause: Cause = Cause()
    config_version: int = 0  # The store's setting in force.
    order_id: str = ""
    order_total: Money = Money()
    value: Money = Money()  # The cart's value when it ended.
    levels_fired: tuple[int, ...] = ()  # Seconds.
    opened_at: int = 0
    abandoned_at: int = 0  # Due time of the first level fired.
    last_level_at: int = 0  # Due time of the last level fired.
    recovered_after_ms: int = 0  # From abandoned_at to the order.


@dataclass(frozen=True, slots=True, kw_only=True)
class CartExpired:
    """A cart was silent past its expiry and is forgotten."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    cart_id: str = ""
    episode_id: str = ""  # One run of the cart from its first item until it is closed.
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    cause: Cause = Cause()
    config_version: int = 0  # The store's setting in force.
    levels_fired: tuple[int, ...] = ()
    last_activity_at: int = 0
    value: Money = Money()
    opened_at: int = 0
