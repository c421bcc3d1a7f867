"""What became of one cart, told from its facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["open", "abandoned", "written_to", "returned", "recovered", "ordered", "emptied", "expired"]

ORDER_SHADOW_MS = 5 * 60_000
"""An order closes activity up to its time and this, as the detector reckons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CartTimes:
    """Times of a cart in ms; 0 for what did not happen."""

    last_item_at: int = 0
    last_activity_at: int = 0
    emptied_at: int = 0
    ordered_at: int = 0
    expired_at: int = 0
    recovered_at: int = 0


def state_of(cart: CartTimes, due_times: Iterable[int], sent_times: Iterable[int]) -> State:
    """The state that a person would name: closed by its latest end, else by what happened since its last activity."""
    if (
        cart.ordered_at
        and cart.ordered_at + ORDER_SHADOW_MS >= cart.last_item_at
        and cart.ordered_at >= cart.emptied_at
    ):
        return "recovered" if cart.recovered_at >= cart.ordered_at else "ordered"
    if cart.emptied_at and cart.emptied_at >= cart.last_item_at:
        return "emptied"
    if cart.expired_at and cart.expired_at >= cart.last_activity_at:
        return "expired"
    left_at = max(due_times, default=0)
    if not left_at:
        return "open"
    if left_at < cart.last_activity_at:
        return "returned"
    return "written_to" if any(sent >= cart.last_activity_at for sent in sent_times) else "abandoned"
