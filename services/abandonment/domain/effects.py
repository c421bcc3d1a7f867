"""The facts that detection publishes, made of a cart's state. Ids and causes follow from the log alone."""

from __future__ import annotations

from typing import Any

from services.abandonment.domain.levels import Due, expiry_at
from services.abandonment.domain.state import LIVE, CartState, Fired
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import LARGEST_MINOR, Money
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed, Cause
from trolleybus.contracts.stores import StoreConfig
from trolleybus.contracts.values import cart_value

Effect = CartAbandoned | CartResumed | CartCleared | CartRecovered | CartExpired

SOURCE_TOPIC = "cart.activity"


def abandoned(state: CartState, level: Due, fired_at: int, config: StoreConfig) -> CartAbandoned:
    """A level that was reached."""
    lines = state.contents.lines()
    return CartAbandoned(
        id=ids.abandonment(state.episode_id, level.seconds),
        occurred_at=level.at,
        level=level.number,
        level_seconds=level.seconds,
        due_at=level.at,
        fired_at=fired_at,
        opened_at=state.opened_at,
        first_activity_at=state.first_activity_at,
        last_activity_at=state.last_activity_at,
        contact_known=bool(state.channels),
        contact_channels=state.channels,
        value=value_of(state, config),
        discount=state.contents.discount,
        lines=lines,
        step=state.step,
        cart_url=state.cart_url,
        locale=state.locale,
        country=state.country,
        time_zone=state.time_zone,
        **_common(state, imported=state.origin != LIVE),
    )


def resumed(state: CartState, before: CartState, record: CartActivity, at: int) -> CartResumed:
    """A new episode of an abandoned cart; `before` is the cart as it was."""
    return CartResumed(
        id=ids.episode_end(before.episode_id, "resumed", record.id),
        occurred_at=at,
        previous_episode_id=before.episode_id,
        levels_fired=_seconds(before.fired),
        opened_at=state.opened_at,
        **_common(state, imported=record.imported),
    )


def cleared(state: CartState, record: CartActivity, at: int) -> CartCleared:
    """An open cart that lost its last item."""
    return CartCleared(
        id=ids.episode_end(state.episode_id, "cleared", record.id),
        occurred_at=at,
        levels_fired=_seconds(state.uncredited()),
        opened_at=state.opened_at,
        **_common(state, imported=record.imported),
    )


def recovered(
    state: CartState, credited: tuple[Fired, ...], value: Money, record: CartActivity, at: int
) -> CartRecovered:
    """An order after levels fired. It names the episode in which the last of them fired."""
    first, last = min(level.due_at for level in credited), max(level.due_at for level in credited)
    episode_id = credited[-1].episode_id
    common = _common(state, imported=record.imported)
    common["episode_id"] = episode_id
    return CartRecovered(
        id=ids.episode_end(episode_id, "recovered", record.id),
        occurred_at=at,
        order_id=record.order_id,
        order_total=record.total,
        value=value,
        levels_fired=_seconds(credited),
        opened_at=state.opened_at,
        abandoned_at=first,
        last_level_at=last,
        recovered_after_ms=max(0, at - first),
        **common,
    )


def expired(state: CartState, config: StoreConfig) -> CartExpired:
    """An open cart that was silent past its expiry."""
    return CartExpired(
        id=ids.episode_end(state.episode_id, "expired", ""),
        occurred_at=expiry_at(state, config),
        levels_fired=_seconds(state.uncredited()),
        last_activity_at=state.last_activity_at,
        value=value_of(state, config),
        opened_at=state.opened_at,
        **_common(state, imported=state.origin != LIVE),
    )


def value_of(state: CartState, config: StoreConfig) -> Money:
    """What the cart is worth, in its own currency, else in its first line's, else in the store's."""
    lines = state.contents.lines()
    value = cart_value(lines, state.contents.discount, state.currency or _priced_in(lines) or config.currency)
    return value if value.minor <= LARGEST_MINOR else Money(minor=LARGEST_MINOR, currency=value.currency)


def _priced_in(lines: tuple[CartLine, ...]) -> str:
    return next((line.unit_price.currency for line in lines if line.unit_price.currency), "")


def _common(state: CartState, *, imported: bool) -> dict[str, Any]:
    """What every effect carries. The cause is the last record applied and the effect's number among what followed it,
    whether that record itself or only the silence after it made the effect due: so a replay gives the same cause,
    and the causes of one cart only grow. Counts the effect.
    """
    cause = Cause(topic=SOURCE_TOPIC, partition=state.partition, offset=state.offset, ordinal=state.ordinal)
    state.ordinal += 1
    return {
        "store_id": state.store_id,
        "imported": imported,
        "cart_id": state.cart_id,
        "episode_id": state.episode_id,
        "customer_id": state.customer_id or state.anonymous_id,
        "identities": state.identities,
        "cause": cause,
        "config_version": state.config_version,
    }


def _seconds(fired: tuple[Fired, ...]) -> tuple[int, ...]:
    return tuple(sorted({level.seconds for level in fired}))
