"""The facts that detection publishes, made of a cart's state. Ids and causes follow from the log alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from services.abandonment.domain.activity import Activity, Line
from services.abandonment.domain.contents import Contents
from services.abandonment.domain.levels import expiry_at
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import LIVE, CartState, Fired
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.money import LARGEST_MINOR, Money
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed, Cause
from trolleybus.contracts.values import cart_value

Effect = CartAbandoned | CartResumed | CartCleared | CartRecovered | CartExpired

SOURCE_TOPIC = "cart.activity"


def abandoned(state: CartState, level_seconds: int, fired_at: int, setting: Setting) -> CartAbandoned:
    """A level that was reached."""
    due_at = state.last_activity_at + level_seconds * 1000
    contents = state.contents
    lines = _contract_lines(contents)
    return CartAbandoned(
        id=ids.abandonment(state.episode_id, level_seconds),
        occurred_at=due_at,
        level=setting.levels.index(level_seconds) + 1,
        level_seconds=level_seconds,
        due_at=due_at,
        fired_at=fired_at,
        opened_at=state.opened_at,
        first_activity_at=state.first_activity_at,
        last_activity_at=state.last_activity_at,
        contact_known=bool(state.channels),
        contact_channels=state.channels,
        value=_value(state, contents, lines, setting),
        discount=_discount(contents),
        lines=lines,
        step=state.step,
        cart_url=state.cart_url,
        locale=state.locale,
        country=state.country,
        time_zone=state.time_zone,
        **_common(state, imported=state.origin != LIVE),
    )


def resumed(state: CartState, before: CartState, activity: Activity, at: int) -> CartResumed:
    """A new episode of an abandoned cart; `before` is the cart as it was left."""
    return CartResumed(
        id=ids.episode_end(before.episode_id, "resumed", activity.id),
        occurred_at=at,
        previous_episode_id=before.episode_id,
        levels_fired=_seconds(before.fired),
        opened_at=state.opened_at,
        **_common(state, imported=activity.imported),
    )


def cleared(state: CartState, activity: Activity, at: int) -> CartCleared:
    """An open cart that lost its last item."""
    return CartCleared(
        id=ids.episode_end(state.episode_id, "cleared", activity.id),
        occurred_at=at,
        levels_fired=_seconds(state.uncredited()),
        opened_at=state.opened_at,
        **_common(state, imported=activity.imported),
    )


def recovered(
    state: CartState, credited: tuple[Fired, ...], value: Money, activity: Activity, at: int
) -> CartRecovered:
    """An order after levels fired. It names the episode in which the last of them fired."""
    first, last = min(level.due_at for level in credited), max(level.due_at for level in credited)
    episode_id = credited[-1].episode_id
    common = _common(state, imported=activity.imported)
    common["episode_id"] = episode_id
    return CartRecovered(
        id=ids.episode_end(episode_id, "recovered", activity.id),
        occurred_at=at,
        order_id=activity.order_id,
        order_total=Money(minor=activity.total, currency=activity.total_currency),
        value=value,
        levels_fired=_seconds(credited),
        opened_at=state.opened_at,
        abandoned_at=first,
        last_level_at=last,
        recovered_after_ms=max(0, at - first),
        **common,
    )


def expired(state: CartState, setting: Setting) -> CartExpired:
    """An open cart that was silent past its expiry."""
    return CartExpired(
        id=ids.episode_end(state.episode_id, "expired", ""),
        occurred_at=expiry_at(state, setting),
        levels_fired=_seconds(state.uncredited()),
        last_activity_at=state.last_activity_at,
        value=value_of(state, setting),
        opened_at=state.opened_at,
        **_common(state, imported=state.origin != LIVE),
    )


def value_of(state: CartState, setting: Setting) -> Money:
    """What the cart is worth, in its own currency, else in its first line's, else in the store's."""
    contents = state.contents
    return _value(state, contents, _contract_lines(contents), setting)


@lru_cache(maxsize=10_000)
def contract_line(line: Line) -> CartLine:
    """The line as the contract has it. Remembered, because each level of a cart tells the same lines again."""
    return CartLine(
        line_id=line.line_id,
        product_id=line.product_id,
        variant_id=line.variant_id,
        name=line.name,
        quantity=line.quantity,
        unit_price=Money(minor=line.price, currency=line.price_currency),
        discount=Money(minor=line.discount, currency=line.discount_currency),
        url=line.url,
        image_url=line.image_url,
        category=line.category,
        brand=line.brand,
        price_rounded=line.price_rounded,
    )


def _value(state: CartState, contents: Contents, lines: tuple[CartLine, ...], setting: Setting) -> Money:
    currency = state.currency
    if not currency:
        currency = next((line.unit_price.currency for line in lines if line.unit_price.currency), setting.currency)
    value = cart_value(lines, _discount(contents), currency)
    return value if value.minor <= LARGEST_MINOR else Money(minor=LARGEST_MINOR, currency=value.currency)


def _contract_lines(contents: Contents) -> tuple[CartLine, ...]:
    return tuple([contract_line(line) for line in contents.lines()])


def _discount(contents: Contents) -> Money:
    return Money(minor=contents.discount, currency=contents.discount_currency)


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
