"""When a cart's silence makes something due. All of it follows from the cart's own records."""

from __future__ import annotations

from typing import NamedTuple

from services.abandonment.domain.state import HELD, CartState
from trolleybus.contracts.stores import StoreConfig

DEFAULT_LEVELS = (900, 3_600, 86_400)
DEFAULT_EXPIRY_SECONDS = 2_592_000

LATENESS_MS = 86_400_000
"""How late an event may come and still meet the memory of the cart that it belongs to."""


class Due(NamedTuple):
    """A level that a silent cart will reach; `number` counts the setting's levels from 1."""

    at: int
    number: int
    seconds: int


def levels_of(config: StoreConfig) -> tuple[int, ...]:
    """The setting's levels in seconds, ascending."""
    return tuple(sorted(set(config.levels))) or DEFAULT_LEVELS


def next_level(state: CartState, config: StoreConfig) -> Due | None:
    """The first level not fired in this episode that may still fire.

    Levels go up: one shorter than a level that fired (a setting changed in between) is over. One that was due before
    detection began never fires.
    """
    reached = state.fired[-1].seconds if state.fired else 0
    expiry = expiry_at(state, config)
    for number, seconds in enumerate(levels_of(config), start=1):
        due_at = state.last_activity_at + seconds * 1000
        if seconds > reached and config.detection_from <= due_at < expiry:
            return Due(due_at, number, seconds)
    return None


def expiry_at(state: CartState, config: StoreConfig) -> int:
    """When an open cart is forgotten."""
    return state.last_activity_at + (config.expiry_seconds or DEFAULT_EXPIRY_SECONDS) * 1000


def leaves_at(state: CartState, config: StoreConfig) -> int:
    """When the row of a cart that is not open leaves: no late event that its shadow would swallow is expected then."""
    return max(state.arrival, state.closed_at) + levels_of(config)[-1] * 1000 + LATENESS_MS


def next_due(state: CartState, config: StoreConfig) -> int | None:
    """When advancing the cart does something next; None while an import holds it."""
    if state.origin == HELD:
        return None
    if not state.is_open:
        return leaves_at(state, config)
    level = next_level(state, config)
    return level.at if level else expiry_at(state, config)
