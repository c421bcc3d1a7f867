"""The detector's two functions on one cart: advance it to a time, apply a record. Both leave the given state as it was.

empty ── first item ──> open ── a level's silence ──> abandoned ── activity ──> open (a new episode, CartResumed)
open, abandoned ── last item out ──> cleared          open, abandoned ── silence past the expiry ──> expired
open ── order ──> empty                               abandoned since opened ── order ──> recovered
cleared, recovered, expired, empty ── an item newer than the shadow ──> open; after a while of silence ──> forgotten
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from services.abandonment.domain import effects
from services.abandonment.domain.checks import check
from services.abandonment.domain.contents import CONTENT_KINDS, Contents, merge, newer_than
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.levels import expiry_at, leaves_at, next_level
from services.abandonment.domain.state import (
    ABANDONED,
    CLEARED,
    EMPTY,
    EXPIRED,
    HELD,
    IMPORTED,
    LIVE,
    MAX_EARLIER,
    MAX_IDENTITIES,
    MAX_ORDERS,
    MAX_SEEN,
    OPEN,
    RECOVERED,
    CartState,
    Fired,
    Position,
)
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.money import Money
from trolleybus.contracts.stores import StoreConfig

ORDER_SHADOW_MS = 300_000
"""What a storefront still sends of a cart while and after it is bought."""

IGNORED_MARKS = frozenset({"bot", "incomplete"})


class Note(Enum):
    """What became of a record, for the metrics."""

    APPLIED = "applied"
    LATE = "late"  # Applied, and older than what was known.
    DUPLICATE = "duplicate"
    IGNORED = "ignored"  # Marked, or of no cart.


class Step(NamedTuple):
    """State is None where nothing is to be remembered; effects stand in their order."""

    state: CartState | None
    effects: tuple[Effect, ...] = ()
    note: Note = Note.APPLIED


def advance(state: CartState | None, to_ms: int, config: StoreConfig) -> Step:
    """The cart after silence until `to_ms`; `config` is the setting in force (the state's config_version)."""
    if state is None or not _acts_by(state, to_ms, config):
        return Step(state)
    state = state.copy()
    made: list[Effect] = []
    while _acts_by(state, to_ms, config):
        if not state.is_open:
            return Step(None, tuple(made))
        level = next_level(state, config)
        if level:
            made.append(effects.abandoned(state, level, to_ms, config))
            state.fired = (*state.fired, Fired(level.seconds, level.at, state.episode_id))
            state.status = ABANDONED
        else:
            made.append(effects.expired(state, config))
            _close(state, EXPIRED, expiry_at(state, config), effects.value_of(state, config))
            state.closed_until = max(state.closed_until, state.last_activity_at)
            state.contents = Contents()
    return Step(state, tuple(made))


def apply(
    state: CartState | None, record: CartActivity, arrival_ms: int, position: Position, config: StoreConfig
) -> Step:
    """The cart after a record; it must have been advanced to the record's arrival before.

    `config` is the record's setting. Raises Rejected, and nothing else, for absurd values.
    """
    check(record, arrival_ms)
    if not record.cart_id or not IGNORED_MARKS.isdisjoint(record.marks):
        return Step(state, note=Note.IGNORED)
    if state is not None and (record.id in state.seen or _replayed(state, position)):
        return Step(state, note=Note.DUPLICATE)
    if record.kind == "import_ended":
        return Step(_released(state))

    before = state
    state = CartState(store_id=record.store_id, cart_id=record.cart_id) if before is None else before.copy()
    at = min(record.occurred_at, arrival_ms)
    note = Note.LATE if at < state.last_activity_at else Note.APPLIED
    _remember(state, record, arrival_ms, position, is_new=before is None)
    state.config_version = max(state.config_version, config.version)
    _learn(state, record, at)
    if record.kind == "order_placed":
        made = _order(state, record, at, config)
    elif at <= state.closed_until:
        made = ()  # In the shadow of an order or of an expiry.
    else:
        made = _activity(state, record, at, config)
    return Step(state, made, note)


def take(
    state: CartState | None,
    record: CartActivity,
    arrival_ms: int,
    position: Position,
    *,
    in_force: StoreConfig,
    config: StoreConfig,
) -> Step:
    """One record of the log: the cart advanced to its arrival under the setting in force, then the record applied."""
    if not IGNORED_MARKS.isdisjoint(record.marks):
        return Step(state, note=Note.IGNORED)
    advanced = advance(state, arrival_ms, in_force)
    applied = apply(advanced.state, record, arrival_ms, position, config)
    return Step(applied.state, advanced.effects + applied.effects, applied.note)


def _acts_by(state: CartState, to_ms: int, config: StoreConfig) -> bool:
    if not state.is_open:
        return leaves_at(state, config) <= to_ms
    level = next_level(state, config)
    return (level.at if level else expiry_at(state, config)) <= to_ms


def _replayed(state: CartState, position: Position) -> bool:
    """State may be ahead of the committed offset after a crash."""
    return position.partition == state.partition and position.offset <= state.offset


def _released(state: CartState | None) -> CartState | None:
    if state is None or state.origin != HELD:
        return state
    state = state.copy()
    state.origin = IMPORTED
    return state


def _remember(state: CartState, record: CartActivity, arrival: int, position: Position, *, is_new: bool) -> None:
    if not record.imported:
        state.origin = LIVE
    elif is_new:
        state.origin = HELD
    state.partition, state.offset = position
    state.ordinal = 0
    state.arrival = max(state.arrival, arrival)
    state.seen = (*state.seen, record.id)[-MAX_SEEN:]


def _learn(state: CartState, record: CartActivity, at: int) -> None:
    """Who and where: the newest word wins; an older record fills only what is not known."""
    newer = at >= state.facts_at
    for name in ("customer_id", "anonymous_id", "step", "currency", "cart_url", "locale", "country", "time_zone"):
        value = getattr(record, name)
        if value and (newer or not getattr(state, name)):
            setattr(state, name, value)
    state.facts_at = max(state.facts_at, at)
    state.identities = _union(state.identities, record.identities)
    told = tuple(channel for channel, address in (("email", record.email), ("sms", record.phone)) if address)
    state.channels = _union(state.channels, told)


def _union(known: tuple[str, ...], told: tuple[str, ...]) -> tuple[str, ...]:
    fresh = tuple(item for item in dict.fromkeys(told) if item not in known)
    return (*known, *fresh)[-MAX_IDENTITIES:] if fresh else known


def _activity(state: CartState, record: CartActivity, at: int, config: StoreConfig) -> tuple[Effect, ...]:
    value = effects.value_of(state, config) if state.is_open and record.kind in CONTENT_KINDS else Money()
    state.last_activity_at = max(state.last_activity_at, at)
    if record.kind in CONTENT_KINDS:
        state.contents = merge(state.contents, record, at)
        if not state.contents.holds_items():
            if not state.is_open:
                return ()
            made = effects.cleared(state, record, at)
            _close(state, CLEARED, at, value)
            return (made,)
        if not state.is_open:
            _open(state, record, at)
            return ()
        state.opened_at = min(state.opened_at, state.contents.earliest())
    if state.is_open and state.fired and at > state.fired[-1].due_at:
        return (_resume(state, record, at),)
    return ()


def _open(state: CartState, record: CartActivity, at: int) -> None:
    state.status = OPEN
    state.episode_id = ids.episode(state.store_id, state.cart_id, record.id)
    state.opened_at = state.contents.earliest()
    state.first_activity_at = at
    state.fired = state.earlier = ()
    state.credited_at = 0


def _resume(state: CartState, record: CartActivity, at: int) -> Effect:
    before = state.copy()
    state.status = OPEN
    state.episode_id = ids.episode(state.store_id, state.cart_id, record.id)
    state.first_activity_at = at
    earlier = state.uncredited()
    state.earlier = earlier if len(earlier) <= MAX_EARLIER else (earlier[0], *earlier[1 - MAX_EARLIER :])
    state.fired = ()
    return effects.resumed(state, before, record, at)


def _close(state: CartState, status: str, at: int, value: Money) -> None:
    state.status = status
    state.closed_at = at
    state.closed_value = value
    state.step = ""


def _order(state: CartState, record: CartActivity, at: int, config: StoreConfig) -> tuple[Effect, ...]:
    if record.order_id and record.order_id in state.orders:
        return ()  # Told of by a second source.
    state.orders = (*state.orders, record.order_id)[-MAX_ORDERS:] if record.order_id else state.orders
    shadow = at + ORDER_SHADOW_MS
    state.closed_until = max(state.closed_until, shadow)
    rest = newer_than(state.contents, shadow)
    if state.is_open and rest.holds_items():
        return _bought_in_part(state, rest, record, at, config)
    credited = state.uncredited() if shadow >= state.opened_at else ()
    value = effects.value_of(state, config) if state.is_open else state.closed_value
    made = (effects.recovered(state, credited, value, record, at),) if credited else ()
    if state.is_open or credited:
        _close(state, RECOVERED if credited else EMPTY, shadow, value)
        state.fired = state.earlier = ()
    state.contents = rest
    return made


def _bought_in_part(
    state: CartState, rest: Contents, record: CartActivity, at: int, config: StoreConfig
) -> tuple[Effect, ...]:
    """The order came late: the cart holds items newer than its shadow and stays open, in the episode that it is in."""
    credited = tuple(level for level in state.uncredited() if level.due_at <= at)
    made = (effects.recovered(state, credited, effects.value_of(state, config), record, at),) if credited else ()
    state.contents = rest
    if state.opened_at <= state.closed_until:
        state.opened_at = rest.earliest()
    state.credited_at = max(state.credited_at, at)
    return made
