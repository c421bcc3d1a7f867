"""A rehearsal of a log against the reference, and what it keeps in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.abandonment.domain.activity import activity_of
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note
from services.abandonment.domain.state import Position
from services.abandonment.rehearsal.carts import SLACK_MS, OutOfOrder, Rehearsal, Settings, UnknownStore
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, STORE, activity, line, told
from tests.unit.abandonment.reference import Log, told_by_the_engine, told_by_the_reference
from tests.unit.abandonment.test_engine_against_the_reference import CONFIGS, END, logs
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig


def known() -> Settings:
    found = Settings()
    for config in CONFIGS.values():
        found.add(config)
    return found


def rehearse(log: Log, until: int = END) -> list[Effect]:
    rehearsal = Rehearsal(known())
    made: list[Effect] = []
    for offset, (arrival, record) in enumerate(log):
        made.extend(rehearsal.hear(activity_of(record), arrival, Position(0, offset)).effects)
    return [*made, *rehearsal.end(until)]


@given(logs(imports=True))
@settings(max_examples=150, deadline=None)
def test_P2_a_rehearsal_tells_what_the_reference_tells_cart_by_cart_and_in_order(log: Log) -> None:
    assert told_by_the_engine(rehearse(log)) == told_by_the_reference(log, CONFIGS, END)


@given(logs())
@settings(max_examples=100, deadline=None)
def test_P2_records_give_the_same_ids_whether_they_are_heard_live_or_imported(log: Log) -> None:
    last = log[-1][0]
    history = [(arrival, replace(record, imported=True, received_at=arrival)) for arrival, record in log]
    ended = activity("import_ended", last - START, cart_id="", imported=True, received_at=last)
    assert {effect.id for effect in rehearse([*history, (last, ended)])} == {effect.id for effect in rehearse(log)}


@given(logs(), st.permutations(range(4)))
@settings(max_examples=50, deadline=None)
def test_the_order_of_carts_in_the_file_decides_nothing(log: Log, order: list[int]) -> None:
    """Partitions one after the other, as a recording of each would have them, or all in the order of arrival."""
    of_four = [
        (number % 4, arrival, replace(record, cart_id=f"{record.cart_id}-{number % 4}"))
        for number, (arrival, record) in enumerate(log)
    ]
    in_turn = [entry for partition in order for entry in of_four if entry[0] == partition]
    ids = []
    for entries in (of_four, in_turn):
        rehearsal = Rehearsal(known())
        made: list[Effect] = []
        for offset, (partition, arrival, record) in enumerate(entries):
            made.extend(rehearsal.hear(activity_of(record), arrival, Position(partition, offset)).effects)
        ids.append(sorted(effect.id for effect in (*made, *rehearsal.end(END))))
    assert ids[0] == ids[1]


def test_carts_that_are_forgotten_leave_memory_while_the_log_goes_on() -> None:
    rehearsal, most, abandoned = Rehearsal(known()), 0, 0
    for number in range(2_000):
        record = activity("lines_added", number * HOUR, line("a"), cart_id=f"cart-{number}")
        heard = rehearsal.hear(activity_of(record), record.occurred_at, Position(0, number))
        abandoned += sum(isinstance(effect, CartAbandoned) for effect in heard.effects)
        most = max(most, rehearsal.carts)
    assert most < 60, "a cart expires after an hour and is remembered for a day, beside the day that order may lack"
    abandoned += sum(isinstance(effect, CartAbandoned) for effect in rehearsal.end(START + 2_100 * HOUR))
    assert abandoned == 2_000 * 3


def test_a_record_far_out_of_the_order_of_arrival_is_refused_rather_than_judged_too_late() -> None:
    rehearsal = Rehearsal(known())
    late = activity("lines_added", 0, line("a"), cart_id="late")
    for number, at in enumerate((0, 3 * DAY)):
        record = activity("product_viewed", at)
        rehearsal.hear(activity_of(record), record.occurred_at, Position(0, number))
    with pytest.raises(OutOfOrder, match="order of arrival"):
        rehearsal.hear(activity_of(late), START + 3 * DAY - SLACK_MS - MINUTE, Position(0, 2))
    assert rehearsal.carts == 1
    rehearsal.hear(activity_of(late), START, Position(1, 0))
    assert rehearsal.carts == 2, "another partition has a time of its own"


def test_carts_of_an_import_wait_for_its_end_in_their_own_partition() -> None:
    rehearsal = Rehearsal(known())
    for partition in (0, 1):
        record = activity("lines_added", 0, line("a"), cart_id=f"cart-{partition}", imported=True)
        rehearsal.hear(activity_of(record), START, Position(partition, 0))
    assert rehearsal.held == 2
    ended = activity("import_ended", HOUR, cart_id="", imported=True)
    made = rehearsal.hear(activity_of(ended), START + HOUR, Position(1, 1))
    assert {effect.cart_id for effect in made.effects} == {"cart-1"}
    assert rehearsal.held == 1
    assert {effect.cart_id for effect in rehearsal.end(END)} <= {"cart-1"}


def test_other_levels_can_be_tried_and_those_before_detection_began_as_well() -> None:
    config = StoreConfig(store_id=STORE, version=1, currency="EUR", levels=(900,), detection_from=START + 20 * MINUTE)
    record = activity("lines_added", 0, line("a"))
    found = []
    for tried in (Settings(), Settings((300, 1500)), Settings((300, 1500), detect_all=True)):
        tried.add(config)
        rehearsal = Rehearsal(tried)
        assert rehearsal.hear(activity_of(record), START, Position(0, 0)).note is Note.APPLIED
        found.append(told(rehearsal.end(START + DAY)))
    assert found == [[], [("CartAbandoned", 1500)], [("CartAbandoned", 300), ("CartAbandoned", 1500)]]


def test_a_store_without_settings_is_judged_by_levels_that_are_tried_or_not_at_all() -> None:
    record = activity("lines_added", 0, line("a"), store_id="another")
    with pytest.raises(UnknownStore, match="'another'"):
        Rehearsal(known()).hear(activity_of(record), START, Position(0, 0))
    rehearsal = Rehearsal(Settings((60,)))
    rehearsal.hear(activity_of(record), START, Position(0, 0))
    assert told(rehearsal.end(START + HOUR)) == [("CartAbandoned", 60)]


def test_a_version_that_is_not_known_is_judged_by_the_latest_that_is() -> None:
    tried = Settings()
    tried.add(CONFIGS[2])
    tried.add(CONFIGS[1])
    assert tried.of(STORE, 9).levels == CONFIGS[2].levels
    assert tried.of(STORE, 1).levels == CONFIGS[1].levels
