"""The detector's two functions on one cart: advance it to a time, apply a record. Both leave the given state as it was.

empty ── first item ──> open ── a level's silence ──> abandoned ── activity ──> open (a new episode, CartResumed)
open, abandoned ── last item out ──> cleared          open, abandoned ── silence past the expiry ──> expired
open ── order ──> empty                               abandoned since opened ── order ──> recovered
cleared, recovered, expired, empty ── an item newer than the shadow ──> open; after a while of silence ──> forgotten
"""

from __future__ import annotations

from enum import Enum

import msgspec

from services.abandonment.domain import effects
from services.abandonment.domain.activity import Activity
from services.abandonment.domain.checks import check
from services.abandonment.domain.contents import CONTENT_KINDS, NOTHING, Contents, merge, newer_than
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.levels import acts_at, expiry_at, next_level
from services.abandonment.domain.seen import compact
from services.abandonment.domain.setting import Setting
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
    OPEN,
    RECOVERED,
    CartState,
    Fired,
    Position,
    Status,
)
from trolleybus.contracts import ids
from trolleybus.contracts.money import Money

ORDER_SHADOW_MS = 300_000
"""What a storefront still sends of a cart while and after it is bought."""

IGNORED_MARKS = frozenset({"bot", "incomplete"})


class Note(Enum):
    """What became of a record, for the metrics."""

    APPLIED = "applied"
    LATE = "late"  # Applied, and older than what was known.
    DUPLICATE = "duplicate"
    IGNORED = "ignored"  # Marked, or of no cart.


APPLIED, LATE, DUPLICATE, IGNORED = Note.APPLIED, Note.LATE, Note.DUPLICATE, Note.IGNORED


class Step(msgspec.Struct, frozen=True, gc=False):
    """State is None where nothing is to be remembered; effects stand in their order."""

    state: CartState | None
    effects: tuple[Effect, ...] = ()
    note: Note = Note.APPLIED


def advance(state: CartState | None, to_ms: int, setting: Setting) -> Step:
    """The cart after silence until `to_ms`; `setting` is the one in force (the state's config_version)."""
    if state is None or acts_at(state, setting) > to_ms:
        return Step(state)
    state = state.copy()
    made: list[Effect] = []
    while acts_at(state, setting) <= to_ms:
        if not state.is_open:
            return Step(None, tuple(made))
        seconds = next_level(state, setting)
        if seconds:
            made.append(effects.abandoned(state, seconds, to_ms, setting))
            due_at = state.last_activity_at + seconds * 1000
            state.fired = (*state.fired, Fired(seconds, due_at, state.episode_id))
            state.status = ABANDONED
        else:
            made.append(effects.expired(state, setting))
            _keep_value(state, setting)
            _close(state, EXPIRED, expiry_at(state, setting))
            state.closed_until = max(state.closed_until, state.last_activity_at)
            state.contents = NOTHING
    return Step(state, tuple(made))


def apply(state: CartState | None, activity: Activity, arrival_ms: int, position: Position, setting: Setting) -> Step:
    """The cart after a record; it must have been advanced to the record's arrival before.

    `setting` is the record's. Raises Rejected, and nothing else, for absurd values.
    """
    if _is_ignored(activity):
        return Step(state, (), IGNORED)
    check(activity, arrival_ms)
    if not activity.cart_id:
        return Step(state, (), IGNORED)
    id_ = compact(activity.id)
    if state is not None and (state.seen.knows(id_) or _replayed(state, position)):
        return Step(state, (), DUPLICATE)
    if activity.kind == "import_ended":
        return Step(_released(state), (), APPLIED)

    # Here and below conditions stand where min and max would: for each record those cost more than all else in a line.
    at = activity.occurred_at if activity.occurred_at < arrival_ms else arrival_ms
    if state is None:
        state = CartState(store_id=activity.store_id, cart_id=activity.cart_id, origin=HELD)
    else:
        state = state.copy()
    note = LATE if at < state.last_activity_at else APPLIED
    _remember(state, activity, id_, arrival_ms, position)
    newest = state.config_version
    state.config_version = setting.version if setting.version > newest else newest
    _learn(state, activity, at)
    if activity.kind == "order_placed":
        made = _order(state, activity, at, setting)
    elif at <= state.closed_until:
        made = ()  # In the shadow of an order or of an expiry.
    else:
        made = _activity(state, activity, at, setting)
    return Step(state, made, note)


def take(
    state: CartState | None,
    activity: Activity,
    appended_ms: int,
    position: Position,
    *,
    in_force: Setting,
    setting: Setting,
) -> Step:
    """One record of the log: the cart advanced to its arrival under the setting in force, then the record applied.

    History arrives when it says. In a cart that lives it arrives when the log took it: the clock has advanced that cart
    to then, or is about to, and it must not matter which.
    """
    if _is_ignored(activity):
        return Step(state, (), IGNORED)
    lives = state is not None and state.origin != HELD
    arrival = appended_ms if lives or not activity.imported else _said_by(activity)
    if state is None or acts_at(state, in_force) > arrival:
        return apply(state, activity, arrival, position, setting)
    advanced = advance(state, arrival, in_force)
    if advanced.state is None and activity.imported:
        arrival = _said_by(activity)
    applied = apply(advanced.state, activity, arrival, position, setting)
    return Step(applied.state, advanced.effects + applied.effects, applied.note)


def _said_by(activity: Activity) -> int:
    return activity.received_at or activity.occurred_at


def _is_ignored(activity: Activity) -> bool:
    return bool(activity.marks) and not IGNORED_MARKS.isdisjoint(activity.marks)


def _replayed(state: CartState, position: Position) -> bool:
    """State may be ahead of the committed offset after a crash."""
    return position.partition == state.partition and position.offset <= state.offset


def _released(state: CartState | None) -> CartState | None:
    if state is None or state.origin != HELD:
        return state
    state = state.copy()
    state.origin = IMPORTED
    return state


def _remember(state: CartState, activity: Activity, id_: bytes | str, arrival_ms: int, position: Position) -> None:
    if not activity.imported:
        state.origin = LIVE
    state.partition, state.offset = position
    state.ordinal = 0
    state.arrival = arrival_ms if arrival_ms > state.arrival else state.arrival
    state.seen = state.seen.plus(id_)


def _learn(state: CartState, activity: Activity, at: int) -> None:
    """Who and where: the newest word wins; an older record fills only what is not known."""
    newer = at >= state.facts_at
    if newer:
        state.facts_at = at
    if activity.customer_id and (newer or not state.customer_id):
        state.customer_id = activity.customer_id
    if activity.anonymous_id and (newer or not state.anonymous_id):
        state.anonymous_id = activity.anonymous_id
    if activity.step and (newer or not state.step):
        state.step = activity.step
    if activity.currency and (newer or not state.currency):
        state.currency = activity.currency
    if activity.cart_url and (newer or not state.cart_url):
        state.cart_url = activity.cart_url
    if activity.locale and (newer or not state.locale):
        state.locale = activity.locale
    if activity.country and (newer or not state.country):
        state.country = activity.country
    if activity.time_zone and (newer or not state.time_zone):
        state.time_zone = activity.time_zone
    if activity.identities and activity.identities != state.identities:
        state.identities = _union(state.identities, activity.identities)
    if activity.email and "email" not in state.channels:
        state.channels = (*state.channels, "email")
    if activity.phone and "sms" not in state.channels:
        state.channels = (*state.channels, "sms")


def _union(known: tuple[str, ...], told: tuple[str, ...]) -> tuple[str, ...]:
    fresh = tuple(item for item in dict.fromkeys(told) if item not in known)
    return (*known, *fresh)[-MAX_IDENTITIES:] if fresh else known


def _activity(state: CartState, activity: Activity, at: int, setting: Setting) -> tuple[Effect, ...]:
    state.last_activity_at = at if at > state.last_activity_at else state.last_activity_at
    if activity.kind in CONTENT_KINDS:
        contents = merge(state.contents, activity, at)
        if contents.holds_items():
            state.contents = contents
            if not state.is_open:
                _open(state, activity, at, contents.earliest())
                return ()
            if contents.reaches_before(state.opened_at):
                state.opened_at = min(state.opened_at, contents.earliest())
        else:
            return _emptied(state, contents, activity, at, setting)
    if state.fired and state.is_open and at > state.fired[-1].due_at:
        return (_resume(state, activity, at),)
    return ()


def _open(state: CartState, activity: Activity, at: int, opened_at: int) -> None:
    state.status = OPEN
    state.episode_id = ids.episode(state.store_id, state.cart_id, activity.id)
    state.opened_at = opened_at
    state.first_activity_at = at
    state.fired = state.earlier = ()
    state.credited_at = 0


def _emptied(state: CartState, contents: Contents, activity: Activity, at: int, setting: Setting) -> tuple[Effect, ...]:
    made: tuple[Effect, ...] = ()
    if state.is_open:
        made = (effects.cleared(state, activity, at),)
        _keep_value(state, setting)
        _close(state, CLEARED, at)
    state.contents = contents
    return made


def _resume(state: CartState, activity: Activity, at: int) -> Effect:
    before = state.copy()
    state.status = OPEN
    state.episode_id = ids.episode(state.store_id, state.cart_id, activity.id)
    state.first_activity_at = at
    state.earlier = _thinned(state.uncredited())
    state.fired = ()
    return effects.resumed(state, before, activity, at)


def _thinned(levels: tuple[Fired, ...]) -> tuple[Fired, ...]:
    """MAX_EARLIER of them: the first of each duration and the last stay before the others, and of those the later ones."""
    surplus = len(levels) - MAX_EARLIER
    if surplus <= 0:
        return levels
    firsts = {level.seconds: level for level in reversed(levels)}
    lasts = {level.seconds: level for level in levels}
    between = [level for level in levels if level is not firsts[level.seconds] and level is not lasts[level.seconds]]
    leaving = set(map(id, between[:surplus]))
    kept = [level for level in levels if id(level) not in leaving]
    return (kept[0], *kept[1 - MAX_EARLIER :])


def _close(state: CartState, status: Status, at: int) -> None:
    state.status = status
    state.closed_at = at
    state.step = ""


def _keep_value(state: CartState, setting: Setting) -> None:
    """What an open cart that loses its items was worth: an order that follows may answer the levels that fired."""
    value = effects.value_of(state, setting) if state.uncredited() else Money()
    state.closed_value, state.closed_currency = value.minor, value.currency


def _order(state: CartState, activity: Activity, at: int, setting: Setting) -> tuple[Effect, ...]:
    if activity.order_id:
        if activity.order_id in state.orders:
            return ()  # Told of by a second source.
        state.orders = (*state.orders, activity.order_id)[-MAX_ORDERS:]
    shadow = at + ORDER_SHADOW_MS
    state.closed_until = max(state.closed_until, shadow)
    rest = newer_than(state.contents, shadow)
    if state.is_open and rest.holds_items():
        return _bought_in_part(state, rest, activity, at, setting)
    credited = state.uncredited() if shadow >= state.opened_at else ()
    made: tuple[Effect, ...] = ()
    if credited:
        if state.is_open:
            _keep_value(state, setting)
        value = Money(minor=state.closed_value, currency=state.closed_currency)
        made = (effects.recovered(state, credited, value, activity, at),)
    if state.is_open or credited:
        _close(state, RECOVERED if credited else EMPTY, shadow)
        state.fired = state.earlier = ()
    state.contents = rest
    return made


def _bought_in_part(
    state: CartState, rest: Contents, activity: Activity, at: int, setting: Setting
) -> tuple[Effect, ...]:
    """The order came late: the cart holds items newer than its shadow and stays open, in the episode that it is in."""
    credited = tuple(level for level in state.uncredited() if level.due_at <= at)
    made: tuple[Effect, ...] = ()
    if credited:
        made = (effects.recovered(state, credited, effects.value_of(state, setting), activity, at),)
    state.contents = rest
    if state.opened_at <= state.closed_until:
        state.opened_at = rest.earliest()
    state.credited_at = max(state.credited_at, at)
    return made
