"""Each rule of detection by an example. Times are ms after START; the setting's levels are 15 min, 1 h, 24 h."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.abandonment.domain.checks import Rejected
from services.abandonment.domain.engine import Note
from services.abandonment.domain.levels import leaves_at, next_due
from services.abandonment.domain.seen import MAX_SEEN
from services.abandonment.domain.state import MAX_EARLIER
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, Cart, activity, euros, line, setting, told
from trolleybus.contracts.cart import CartLine
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed

LEVEL_1, LEVEL_2, LEVEL_3 = ("CartAbandoned", 900), ("CartAbandoned", 3600), ("CartAbandoned", 86400)


def filled(**more: Any) -> Cart:
    cart = Cart()
    cart.hear(activity("lines_added", 0, line("a", 2), **more))
    return cart


def test_a_cart_is_abandoned_at_each_level_of_silence_at_its_due_time() -> None:
    cart = filled()
    assert cart.silence(15 * MINUTE - 1) == []
    (first,) = cart.silence(15 * MINUTE)
    assert isinstance(first, CartAbandoned)
    assert (first.due_at, first.level, first.level_seconds) == (START + 15 * MINUTE, 1, 900)
    assert told(cart.silence(DAY)) == [LEVEL_2, LEVEL_3]
    assert cart.silence(2 * DAY) == []


def test_the_record_tells_the_cart_as_it_was_left() -> None:
    cart = Cart()
    known: dict[str, Any] = {"customer_id": "c-1", "identities": ("email:v1:1",), "email": "shopper@example.com"}
    place = {"locale": "es-ES", "country": "ES", "time_zone": "Europe/Madrid", "cart_url": "https://shop.example/c"}
    cart.hear(activity("snapshot", 0, line("a", 2), line("b", 1, 500), discount=euros(300), **known, **place))
    cart.hear(activity("checkout_step", MINUTE, step="shipping"))
    (told_of,) = cart.silence(HOUR)
    assert isinstance(told_of, CartAbandoned)
    assert told_of.value == euros(2200)
    assert told_of.discount == euros(300)
    assert [(item.line_id, item.quantity) for item in told_of.lines] == [("a", 2), ("b", 1)]
    assert (told_of.opened_at, told_of.last_activity_at) == (START, START + MINUTE)
    assert (told_of.contact_known, told_of.contact_channels, told_of.customer_id) == (True, ("email",), "c-1")
    assert (told_of.step, told_of.locale, told_of.country) == ("shipping", "es-ES", "ES")
    assert "shopper@example.com" not in repr(told_of)


def test_a_guest_is_known_by_the_anonymous_id() -> None:
    cart = filled(anonymous_id="browser-1")
    assert cart.silence(HOUR)[0].customer_id == "browser-1"


def test_views_alone_never_abandon_a_cart() -> None:
    cart = Cart()
    cart.hear(activity("product_viewed", 0))
    assert told(cart.silence(DAY)) == []


@pytest.mark.parametrize("kind", ["product_viewed", "checkout_step", "contact_captured", "a kind of tomorrow"])
def test_any_activity_restarts_the_silence(kind: str) -> None:
    cart = filled()
    cart.hear(activity(kind, 10 * MINUTE))
    assert cart.silence(25 * MINUTE - 1) == []
    assert told(cart.silence(25 * MINUTE)) == [LEVEL_1]


def test_an_event_from_the_future_counts_from_its_arrival() -> None:
    cart = filled()
    cart.hear(activity("product_viewed", 20 * DAY), arrival=5 * MINUTE)
    assert told(cart.silence(20 * MINUTE)) == [LEVEL_1]


def test_activity_after_a_level_resumes_the_cart_in_a_new_episode_that_may_be_abandoned_again() -> None:
    cart = filled()
    (first,) = cart.silence(20 * MINUTE)
    (resumed,) = cart.hear(activity("product_viewed", 30 * MINUTE))
    assert isinstance(resumed, CartResumed)
    assert (resumed.previous_episode_id, resumed.levels_fired) == (first.episode_id, (900,))
    (again,) = cart.silence(45 * MINUTE)
    assert isinstance(again, CartAbandoned)
    assert again.episode_id == resumed.episode_id != first.episode_id
    assert again.opened_at == START
    assert again.id != first.id


def test_a_late_event_neither_unfires_nor_refires_a_level_and_moves_the_next() -> None:
    cart = filled()
    assert told(cart.silence(20 * MINUTE)) == [LEVEL_1]
    assert cart.hear(activity("product_viewed", 10 * MINUTE), arrival=25 * MINUTE) == []
    assert cart.steps[-1].note is Note.APPLIED
    assert cart.silence(70 * MINUTE - 1) == []
    assert told(cart.silence(70 * MINUTE)) == [LEVEL_2]


def test_a_record_is_preceded_by_what_was_due_at_its_arrival() -> None:
    cart = filled()
    assert told(cart.hear(activity("product_viewed", 16 * MINUTE))) == [LEVEL_1, ("CartResumed",)]


def test_P2_the_same_event_twice_changes_nothing() -> None:
    cart = filled(id="e-1")
    cart.hear(activity("lines_added", 5 * MINUTE, line("a", 2), id="e-1"))
    assert cart.steps[-1].note is Note.DUPLICATE
    (told_of,) = cart.silence(15 * MINUTE)
    assert isinstance(told_of, CartAbandoned)
    assert told_of.lines[0].quantity == 2


def test_P2_a_duplicate_beyond_the_remembered_ids_is_harmless() -> None:
    cart = Cart()
    cart.hear(activity("snapshot", 0, line("a", 2), id="e-1"))
    for minute in range(MAX_SEEN):
        cart.hear(activity("product_viewed", minute, id=f"view-{minute}"))
    cart.hear(activity("snapshot", 0, line("a", 2), id="e-1"), arrival=MINUTE)
    assert cart.steps[-1].note is Note.LATE
    (told_of,) = cart.silence(15 * MINUTE + MAX_SEEN)
    assert isinstance(told_of, CartAbandoned)
    assert told_of.last_activity_at == START + MAX_SEEN - 1
    assert told_of.lines[0].quantity == 2


def test_an_order_before_any_level_just_closes_the_cart() -> None:
    cart = filled()
    assert cart.hear(activity("order_placed", 10 * MINUTE, order_id="o-1")) == []
    assert told(cart.silence(20 * HOUR)) == []


def test_an_order_after_levels_recovers_the_cart_and_says_which_how_much_and_how_long_after() -> None:
    cart = filled()
    first, second = cart.silence(HOUR)
    (told_of,) = cart.hear(activity("order_placed", 2 * HOUR, order_id="o-1", total=euros(2500)))
    assert isinstance(told_of, CartRecovered)
    assert (told_of.order_id, told_of.order_total, told_of.value) == ("o-1", euros(2500), euros(2000))
    assert told_of.levels_fired == (900, 3600)
    assert (told_of.abandoned_at, told_of.last_level_at) == (first.occurred_at, second.occurred_at)
    assert told_of.recovered_after_ms == 105 * MINUTE
    assert told_of.episode_id == first.episode_id


def test_a_shopper_who_returns_and_then_orders_has_recovered_the_abandoned_episode() -> None:
    cart = filled()
    (abandoned,) = cart.silence(20 * MINUTE)
    cart.hear(activity("checkout_step", 30 * MINUTE))
    (told_of,) = cart.hear(activity("order_placed", 35 * MINUTE, order_id="o-1"))
    assert isinstance(told_of, CartRecovered)
    assert (told_of.episode_id, told_of.levels_fired) == (abandoned.episode_id, (900,))


def test_two_sources_telling_of_one_order_recover_once() -> None:
    cart = filled()
    cart.silence(20 * MINUTE)
    assert told(cart.hear(activity("order_placed", 21 * MINUTE, order_id="o-1", id="from-sdk"))) == [("CartRecovered",)]
    assert cart.hear(activity("order_placed", 22 * MINUTE, order_id="o-1", id="from-hook")) == []


def test_an_order_swallows_activity_up_to_its_time_and_five_minutes() -> None:
    cart = filled()
    cart.hear(activity("order_placed", 10 * MINUTE, order_id="o-1"))
    cart.hear(activity("lines_added", 15 * MINUTE, line("a")))
    assert told(cart.silence(20 * HOUR)) == []


def test_an_add_after_an_orders_shadow_opens_a_new_episode_under_the_same_cart_id() -> None:
    cart = filled()
    (first,) = cart.silence(20 * MINUTE)
    cart.hear(activity("order_placed", 21 * MINUTE, order_id="o-1"))
    cart.hear(activity("lines_added", 26 * MINUTE + 1, line("b")))
    (again,) = cart.silence(42 * MINUTE)
    assert isinstance(again, CartAbandoned)
    assert again.cart_id == first.cart_id
    assert again.episode_id != first.episode_id
    assert again.opened_at == START + 26 * MINUTE + 1
    assert [item.line_id for item in again.lines] == ["b"]


def test_an_order_that_arrives_before_its_cart_leaves_a_shadow() -> None:
    cart = Cart()
    cart.hear(activity("order_placed", 10 * MINUTE, order_id="o-1"))
    cart.hear(activity("lines_added", 2 * MINUTE, line("a")), arrival=11 * MINUTE)
    assert told(cart.silence(20 * HOUR)) == []


def test_a_late_order_closes_what_it_bought_and_leaves_what_came_after_it() -> None:
    cart = filled()
    (first,) = cart.silence(16 * MINUTE)
    cart.hear(activity("lines_added", 40 * MINUTE, line("b")))
    (recovered,) = cart.hear(activity("order_placed", 20 * MINUTE, order_id="o-1"), arrival=50 * MINUTE)
    assert isinstance(recovered, CartRecovered)
    assert recovered.episode_id == first.episode_id
    (left,) = cart.silence(55 * MINUTE)
    assert isinstance(left, CartAbandoned)
    assert [item.line_id for item in left.lines] == ["b"]
    assert left.opened_at == START + 40 * MINUTE
    # A second order answers only what fired since.
    (second,) = cart.hear(activity("order_placed", HOUR, order_id="o-2"))
    assert isinstance(second, CartRecovered)
    assert second.episode_id == left.episode_id
    assert second.abandoned_at == left.due_at


def test_an_emptied_cart_is_cleared_and_stays_silent() -> None:
    cart = filled()
    cart.silence(20 * MINUTE)
    (told_of,) = cart.hear(activity("cart_emptied", 30 * MINUTE))
    assert isinstance(told_of, CartCleared)
    assert told_of.levels_fired == (900,)
    assert told(cart.silence(20 * HOUR)) == []
    assert cart.hear(activity("product_viewed", 21 * HOUR)) == []


@pytest.mark.parametrize("kind", ["lines_removed", "lines_set", "snapshot"])
def test_a_cart_that_loses_its_last_item_is_cleared(kind: str) -> None:
    cart = filled()
    gone = () if kind == "snapshot" else (line("a", 0),)
    assert told(cart.hear(activity(kind, MINUTE, *gone))) == [("CartCleared",)]


def test_an_order_right_after_the_shop_emptied_the_cart_still_recovers_it() -> None:
    cart = filled()
    (abandoned,) = cart.silence(20 * MINUTE)
    cart.hear(activity("cart_emptied", 30 * MINUTE))
    (told_of,) = cart.hear(activity("order_placed", 30 * MINUTE, order_id="o-1"))
    assert isinstance(told_of, CartRecovered)
    assert (told_of.episode_id, told_of.value) == (abandoned.episode_id, euros(2000))


def test_a_silent_cart_expires_and_is_forgotten_after_its_shadow() -> None:
    cart = filled()
    made = cart.silence(30 * DAY)
    assert told(made) == [LEVEL_1, LEVEL_2, LEVEL_3, ("CartExpired",)]
    assert isinstance(made[-1], CartExpired)
    assert made[-1].levels_fired == (900, 3600, 86400)
    assert cart.state is not None
    cart.silence(32 * DAY - 1)
    assert cart.state is not None
    cart.silence(32 * DAY)
    assert cart.state is None


def test_a_late_event_of_a_cart_that_expired_does_not_bring_it_back() -> None:
    cart = filled()
    cart.silence(30 * DAY)
    assert cart.hear(activity("lines_added", 0, line("b"), id="late"), arrival=30 * DAY + 1) == []
    assert told(cart.silence(31 * DAY)) == []
    cart.hear(activity("lines_added", 31 * DAY, line("b")))
    assert told(cart.silence(31 * DAY + 15 * MINUTE)) == [LEVEL_1]


def test_a_setting_holds_from_the_carts_next_activity() -> None:
    cart = filled()
    cart.settings[2] = setting(2, levels=(600, 1800))
    assert told(cart.silence(15 * MINUTE)) == [LEVEL_1]
    cart.hear(activity("product_viewed", 20 * MINUTE, config_version=2))
    assert told(cart.silence(50 * MINUTE)) == [("CartAbandoned", 600), ("CartAbandoned", 1800)]


def test_a_setting_that_comes_late_from_another_gateway_does_not_go_back() -> None:
    cart = Cart(settings={1: setting(1), 2: setting(2, levels=(600,))})
    cart.hear(activity("lines_added", 0, line("a"), config_version=2))
    cart.hear(activity("product_viewed", MINUTE, config_version=1))
    assert told(cart.silence(11 * MINUTE)) == [("CartAbandoned", 600)]


def test_a_level_shorter_than_one_that_fired_is_over() -> None:
    cart = filled()
    cart.settings[2] = setting(2, levels=(600, 1800))
    cart.silence(15 * MINUTE)
    cart.hear(activity("product_viewed", 5 * MINUTE, config_version=2), arrival=16 * MINUTE)
    assert told(cart.silence(HOUR)) == [("CartAbandoned", 1800)]


def test_no_level_due_before_detection_began_fires() -> None:
    cart = Cart(settings={1: setting(detection_from=START + 30 * MINUTE)})
    cart.hear(activity("lines_added", 0, line("a")))
    assert told(cart.silence(2 * HOUR)) == [LEVEL_2]


@pytest.mark.parametrize("mark", ["bot", "incomplete"])
def test_a_marked_record_is_ignored(mark: str) -> None:
    cart = filled()
    assert cart.hear(activity("order_placed", MINUTE, marks=(mark,))) == []
    assert cart.steps[-1].note is Note.IGNORED
    assert told(cart.silence(HOUR)) == [LEVEL_1, LEVEL_2]


def test_a_record_of_no_cart_is_ignored() -> None:
    cart = Cart()
    cart.hear(activity("product_viewed", 0, cart_id=""))
    assert cart.state is None
    assert cart.steps[-1].note is Note.IGNORED


def test_imported_history_waits_for_no_clock_until_the_import_ends() -> None:
    cart = filled(imported=True, received_at=START)
    assert cart.state is not None
    assert next_due(cart.state, setting()) is None
    (told_of,) = cart.hear(activity("import_ended", 20 * MINUTE, imported=True, received_at=START + 20 * MINUTE))
    assert isinstance(told_of, CartAbandoned)
    assert told_of.imported
    assert next_due(cart.state, setting()) == START + HOUR


def test_a_live_record_makes_an_imported_cart_live() -> None:
    cart = filled(imported=True, received_at=START)
    cart.hear(activity("product_viewed", MINUTE))
    (told_of,) = cart.silence(16 * MINUTE)
    assert not told_of.imported


def test_several_levels_due_at_once_fire_in_order_each_with_its_own_cause() -> None:
    made = filled().silence(25 * HOUR)
    assert told(made) == [LEVEL_1, LEVEL_2, LEVEL_3]
    assert [(effect.cause.topic, effect.cause.offset, effect.cause.ordinal) for effect in made] == [
        ("cart.activity", 1, 0),
        ("cart.activity", 1, 1),
        ("cart.activity", 1, 2),
    ]


@pytest.mark.parametrize("kind", ["lines_added", "lines_set"])
@pytest.mark.parametrize("earlier", [1, 8 * MINUTE])
def test_a_cart_opened_by_a_late_record_counts_from_its_first_item(kind: str, earlier: int) -> None:
    cart = Cart()
    cart.hear(activity("lines_added", 10 * MINUTE, line("b")))
    cart.hear(activity(kind, 10 * MINUTE - earlier, line("a")), arrival=11 * MINUTE)
    (told_of,) = cart.silence(HOUR - 1)
    assert isinstance(told_of, CartAbandoned)
    assert told_of.opened_at == START + 10 * MINUTE - earlier


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": ""}, "id"),
        ({"store_id": ""}, "store_id"),
        ({"cart_id": ""}, "cart_id"),
        ({"occurred_at": 0}, "occurred_at"),
        ({"occurred_at": -5}, "occurred_at"),
        ({"occurred_at": 2**62}, "occurred_at"),
        ({"lines": (CartLine(),)}, r"lines\[0\]"),
        ({"lines": (line("a", 2**40),)}, r"lines\[0\].quantity"),
        ({"lines": (line("a", 1, 2**62),)}, r"lines\[0\].unit_price"),
        ({"total": euros(2**62)}, "total"),
    ],
)
def test_P8_an_absurd_record_is_rejected_with_a_reason_and_leaves_the_cart_alone(
    changes: dict[str, Any], named: str
) -> None:
    cart = filled()
    before = cart.state.to_row() if cart.state else None
    bad = activity("lines_added", MINUTE, line("a"))
    with pytest.raises(Rejected, match=named):
        cart.hear(replace(bad, **changes), arrival=MINUTE)
    assert cart.state is not None
    assert cart.state.to_row() == before


def test_P8_the_largest_allowed_amounts_still_give_a_record_that_can_be_written() -> None:
    cart = Cart()
    lines = [line(str(number), 1_000_000, 10**15) for number in range(600)]
    cart.hear(activity("snapshot", 0, *lines))
    (told_of,) = cart.silence(15 * MINUTE)
    assert isinstance(told_of, CartAbandoned)
    assert told_of.value.minor < 2**63
    assert len(told_of.lines) == 500


def test_an_open_row_never_leaves_and_a_closed_one_does() -> None:
    cart = filled()
    cart.hear(activity("order_placed", MINUTE, order_id="o-1"))
    assert cart.state is not None
    assert next_due(cart.state, setting()) == leaves_at(cart.state, setting())
    assert leaves_at(cart.state, setting()) == START + 6 * MINUTE + 2 * DAY


def test_an_order_that_comes_after_the_cart_was_left_a_hundred_times_more_answers_the_levels_of_its_own_time() -> None:
    cart = filled()
    fired = [cart.silence(HOUR)]
    for number in range(1, 111):
        cart.hear(activity("lines_added", 2 * number * HOUR, line("b")))
        fired.append(cart.silence((2 * number + 1) * HOUR))
    ordered = activity("order_placed", 21 * HOUR + MINUTE, order_id="o-1")  # Of after the eleventh time.
    (recovered,) = cart.hear(ordered, 300 * HOUR)[-1:]
    assert isinstance(recovered, CartRecovered)
    last = fired[10][-1]
    assert isinstance(last, CartAbandoned)
    assert (recovered.episode_id, recovered.last_level_at) == (last.episode_id, last.due_at)
    assert recovered.levels_fired == (900, 3600)


def test_a_cart_that_is_left_time_and_again_forgets_no_level_that_was_told() -> None:
    """Its levels are kept in bounds, each of them."""
    cart = Cart()
    cart.settings[2] = setting(2, levels=(600,))
    cart.hear(activity("lines_added", 0, line("a")))
    cart.silence(2 * HOUR)
    at = 3 * HOUR
    for _ in range(600):
        cart.hear(activity("product_viewed", at, config_version=2))
        cart.silence(at + HOUR)
        at += 2 * HOUR
    assert cart.state is not None
    assert len(cart.state.earlier) <= MAX_EARLIER
    (cleared,) = cart.hear(activity("cart_emptied", at, config_version=2))[-1:]
    assert isinstance(cleared, CartCleared)
    assert cleared.levels_fired == (600, 900, 3600)  # Once the last two; the 24 hours never came.
