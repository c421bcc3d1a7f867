"""When a cart's silence makes something due. All of it follows from the cart's own records and the setting in force."""

from __future__ import annotations

from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState

LATENESS_MS = 86_400_000
"""How late an event may come and still meet the memory of the cart that it belongs to."""


def next_level(state: CartState, setting: Setting) -> int:
    """Seconds of the first level that may still fire in this episode; 0 if none may.

    Levels go up: one shorter than a level that fired (a setting changed in between) is over. One that was due before
    detection began never fires.
    """
    fired = state.fired
    reached = fired[-1].seconds if fired else 0
    last = state.last_activity_at
    expiry = last + setting.expiry_ms
    for seconds in setting.levels:
        if seconds > reached and setting.detection_from <= last + seconds * 1000 < expiry:
            return seconds
    return 0


def expiry_at(state: CartState, setting: Setting) -> int:
    """When an open cart is forgotten."""
    return state.last_activity_at + setting.expiry_ms


def leaves_at(state: CartState, setting: Setting) -> int:
    """When the row of a cart that is not open leaves: no late event that its shadow would swallow is expected then."""
    return max(state.arrival, state.closed_at) + setting.levels[-1] * 1000 + LATENESS_MS


def acts_at(state: CartState, setting: Setting) -> int:
    """When advancing the cart does something next."""
    if not state.is_open:
        return leaves_at(state, setting)
    return state.last_activity_at + (next_level(state, setting) * 1000 or setting.expiry_ms)


def next_due(state: CartState, setting: Setting) -> int | None:
    """When the clock must advance the cart next; None while an import holds it."""
    return None if state.origin == HELD else acts_at(state, setting)
