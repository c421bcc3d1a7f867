"""One cart as the detector remembers it, and its compact row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from services.abandonment.domain.contents import Contents, Entry, Increment, Stamp
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import Money

EMPTY, OPEN, ABANDONED, RECOVERED, CLEARED, EXPIRED = "empty", "open", "abandoned", "recovered", "cleared", "expired"

LIVE, IMPORTED, HELD = 0, 1, 2
"""Where a cart's records come from: some are live; all are imported; all are imported and the import has not ended."""

MAX_SEEN = 100
"""Record ids remembered of a cart, the latest applied; a duplicate that comes later than that is harmless by event time."""
MAX_IDENTITIES = 32
MAX_EARLIER = 32
MAX_ORDERS = 16

ROW_VERSION = 1


class Position(NamedTuple):
    """Where a record stands on cart.activity."""

    partition: int
    offset: int


class Fired(NamedTuple):
    """A level that fired."""

    seconds: int
    due_at: int
    episode_id: str


@dataclass(slots=True, kw_only=True)
class CartState:
    """Everything detection knows of one cart. Times in ms; 0, "" and () mean absent."""

    store_id: str
    cart_id: str
    status: str = EMPTY
    config_version: int = 0  # The setting in force.
    origin: int = LIVE

    # The last record applied, and how many effects it caused so far: the next cause.
    partition: int = 0
    offset: int = -1
    ordinal: int = 0
    arrival: int = 0  # The latest arrival of its records.
    seen: tuple[str, ...] = ()

    episode_id: str = ""
    opened_at: int = 0
    first_activity_at: int = 0
    last_activity_at: int = 0
    fired: tuple[Fired, ...] = ()  # In this episode, in order.
    earlier: tuple[Fired, ...] = ()  # In earlier episodes since the cart was opened.
    credited_at: int = 0  # Levels due by then were answered by an order that left newer items in the cart.

    closed_until: int = 0  # An order's or an expiry's shadow: activity up to then no longer counts.
    closed_at: int = 0
    closed_value: Money = Money()
    orders: tuple[str, ...] = ()

    facts_at: int = 0
    customer_id: str = ""
    anonymous_id: str = ""
    identities: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    step: str = ""
    currency: str = ""
    cart_url: str = ""
    locale: str = ""
    country: str = ""
    time_zone: str = ""

    contents: Contents = field(default_factory=Contents)

    @property
    def is_open(self) -> bool:
        return self.status in (OPEN, ABANDONED)

    def copy(self) -> CartState:
        """A state of its own; contents and tuples are values and are shared."""
        twin = object.__new__(CartState)
        for name in _FIELDS:
            setattr(twin, name, getattr(self, name))
        return twin

    def uncredited(self) -> tuple[Fired, ...]:
        """Levels fired since the cart was opened that no order has answered yet."""
        return tuple(level for level in (*self.earlier, *self.fired) if level.due_at > self.credited_at)

    def to_row(self) -> list[Any]:
        """JSON-able, positional."""
        row: list[Any] = [getattr(self, name) for name in _PLAIN]
        row[_FIRED], row[_EARLIER] = [list(level) for level in self.fired], [list(level) for level in self.earlier]
        row.append(_money_row(self.closed_value))
        row.append(_contents_row(self.contents))
        return [ROW_VERSION, *row]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> CartState:
        """The state of a row; raises ValueError for a row of another version."""
        version, *values = row
        if version != ROW_VERSION or len(values) != len(_PLAIN) + 2:
            raise ValueError(f"a cart's row of version {version} with {len(values)} values cannot be read here")
        state = cls(store_id="", cart_id="")
        for name, value in zip(_PLAIN, values, strict=False):
            setattr(state, name, tuple(value) if isinstance(value, (list, tuple)) else value)
        state.fired = tuple(Fired(*level) for level in state.fired)
        state.earlier = tuple(Fired(*level) for level in state.earlier)
        state.closed_value = Money(minor=values[-2][0], currency=values[-2][1])
        state.contents = _contents_of(values[-1])
        return state


_FIELDS = tuple(item.name for item in fields(CartState))
_PLAIN = tuple(name for name in _FIELDS if name not in ("closed_value", "contents"))
_FIRED, _EARLIER = _PLAIN.index("fired"), _PLAIN.index("earlier")
_LINE_TEXTS = ("line_id", "product_id", "variant_id", "name", "url", "image_url", "category", "brand")


def _money_row(money: Money) -> list[Any]:
    return [money.minor, money.currency]


def _line_row(line: CartLine) -> list[Any]:
    return [
        *(getattr(line, name) for name in _LINE_TEXTS),
        line.quantity,
        *_money_row(line.unit_price),
        *_money_row(line.discount),
        int(line.price_rounded),
    ]


def _line_of(row: Sequence[Any]) -> CartLine:
    quantity, price, price_currency, discount, discount_currency, rounded = row[len(_LINE_TEXTS) :]
    return CartLine(
        **dict(zip(_LINE_TEXTS, row, strict=False)),
        quantity=quantity,
        unit_price=Money(minor=price, currency=price_currency),
        discount=Money(minor=discount, currency=discount_currency),
        price_rounded=bool(rounded),
    )


def _contents_row(contents: Contents) -> list[Any]:
    return [
        list(contents.floor),
        _money_row(contents.discount),
        [[*entry.stamp, _line_row(entry.line)] for entry in contents.entries.values()],
        [[id_, item.at, [_line_row(line) for line in item.lines]] for id_, item in contents.increments.items()],
    ]


def _contents_of(row: Sequence[Any]) -> Contents:
    floor, discount, entries, increments = row
    restored = [Entry(Stamp(at, id_), _line_of(line)) for at, id_, line in entries]
    return Contents(
        floor=Stamp(*floor),
        discount=Money(minor=discount[0], currency=discount[1]),
        entries={entry.line.line_id: entry for entry in restored},
        increments={id_: Increment(at, tuple(_line_of(line) for line in lines)) for id_, at, lines in increments},
    )
