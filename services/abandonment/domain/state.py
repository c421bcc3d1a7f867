"""One cart as the detector remembers it, and its row: MessagePack, positional."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from services.abandonment.domain.contents import NOTHING, Contents
from services.abandonment.domain.seen import NONE_SEEN, Seen

Status = Literal["empty", "open", "abandoned", "recovered", "cleared", "expired"]
EMPTY: Final = "empty"
OPEN: Final = "open"
ABANDONED: Final = "abandoned"
RECOVERED: Final = "recovered"
CLEARED: Final = "cleared"
EXPIRED: Final = "expired"

LIVE, IMPORTED, HELD = 0, 1, 2
"""Where a cart's records come from: some are live; all are imported; all are imported and the import has not ended."""

MAX_IDENTITIES = 32
MAX_EARLIER = 512
"""Levels remembered of a cart's earlier episodes: an order that comes late answers those due by its own time."""
MAX_ORDERS = 16

ROW_VERSION = 2


class Position(NamedTuple):
    """Where a record stands on cart.activity."""

    partition: int
    offset: int


class Fired(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A level that fired."""

    seconds: int
    due_at: int
    episode_id: str


_encode = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Contents).decode


def pack(contents: Contents) -> msgspec.Raw:
    """Contents as a row has them."""
    return msgspec.Raw(_encode(contents))


PACKED_NOTHING = pack(NOTHING)


class CartState(
    msgspec.Struct,
    array_like=True,
    gc=False,
    kw_only=True,
    tag_field="row",
    tag=ROW_VERSION,
    forbid_unknown_fields=True,
):
    """Everything detection knows of one cart. Times in ms; 0, "" and () mean absent.

    A value to whoever holds it: the engine changes a copy and hands that out.
    """

    store_id: str
    cart_id: str
    status: Status = EMPTY
    config_version: int = 0  # The setting in force.
    origin: int = LIVE

    # The last record applied, and how many effects it caused so far: the next cause.
    partition: int = 0
    offset: int = -1
    ordinal: int = 0
    arrival: int = 0  # The latest arrival of its records.
    seen: Seen = NONE_SEEN

    episode_id: str = ""
    opened_at: int = 0
    first_activity_at: int = 0
    last_activity_at: int = 0
    fired: tuple[Fired, ...] = ()  # In this episode, in order.
    earlier: tuple[Fired, ...] = ()  # In earlier episodes since the cart was opened.
    credited_at: int = 0  # Levels due by then were answered by an order that left newer items in the cart.

    closed_until: int = 0  # An order's or an expiry's shadow: activity up to then no longer counts.
    closed_at: int = 0
    closed_value: int = 0  # Minor units.
    closed_currency: str = ""
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

    # The cart's contents as its row has them: most records leave them alone, and then nobody opens or packs them.
    packed: msgspec.Raw = PACKED_NOTHING

    @property
    def contents(self) -> Contents:
        """What is in the cart; opened at each asking."""
        return unpack(self.packed)

    @contents.setter
    def contents(self, contents: Contents) -> None:
        self.packed = pack(contents)

    @property
    def is_open(self) -> bool:
        return self.status in (OPEN, ABANDONED)

    def copy(self) -> CartState:
        """A state of its own; what it holds are values and shared."""
        return self.__copy__()  # type: ignore[attr-defined,no-any-return]  # msgspec's, in C; its types omit it

    def uncredited(self) -> tuple[Fired, ...]:
        """Levels fired since the cart was opened that no order has answered yet."""
        return tuple(level for level in (*self.earlier, *self.fired) if level.due_at > self.credited_at)

    def to_row(self) -> bytes:
        """MessagePack: an array of the row's version and the fields in their order."""
        return _encode(self)

    @classmethod
    def from_row(cls, row: bytes) -> CartState:
        """The state of a row; raises ValueError for a row of another version or one that is damaged."""
        try:
            return _decode(row)
        except msgspec.DecodeError as error:
            raise ValueError(
                f"a cart's row of {len(row)} bytes is not one of version {ROW_VERSION}: {error}"
            ) from error


_decode = msgspec.msgpack.Decoder(CartState).decode
