"""One partition's carts: what is kept, what is restored, what the clock publishes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.abandonment.domain.timers import Timers
from services.abandonment.shard import RETRY_MS, Shard, clock_key, read_row
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, STORE, activity, line, setting
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig

KEY = b"store-1:cart-1"


class Table:
    """The rows as the changelog has them, and the shards that live on them."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.configs: dict[str, StoreConfig] = {STORE: setting()}

    def shard(self) -> Shard:
        """Restored as after an assignment."""
        shard = Shard(3, self.rows, lambda store, _: self.configs.get(store))
        shard.restore_clock(self.rows.get(clock_key(3)), first_offset=0)
        for key, row in self.rows.items():
            if key != clock_key(3):
                shard.restore_timer(key, read_row(row))
        return shard

    def keep(self, shard: Shard) -> None:
        for key, row in shard.changes():
            if row is None:
                del self.rows[key]
            else:
                self.rows[key] = row
        shard.kept()


def heard(shard: Shard, at: int, kind: str = "lines_added", **more: Any) -> None:
    record = activity(kind, at, line("a"), **more)
    offset = shard.clock.next_offset
    shard.hear(b"store-1:" + record.cart_id.encode(), record, START + at, offset, setting())
    shard.passed(offset, 0 if record.imported else START + at)


def test_the_clock_publishes_what_silence_made_due() -> None:
    shard = Table().shard()
    heard(shard, 0)
    assert shard.silence(10) == []
    shard.clock.end_seen(1, START + 15 * MINUTE)
    (told,) = shard.silence(10)
    assert isinstance(told, CartAbandoned)
    assert shard.silence(10) == []


def test_P2_a_shard_restored_from_its_rows_goes_on_where_it_stood() -> None:
    table = Table()
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    restored = table.shard()
    assert (restored.clock.now, restored.clock.next_offset) == (START, 1)
    restored.clock.end_seen(1, START + 2 * HOUR)
    first = restored.silence(10)
    assert [effect.cause.ordinal for effect in first] == [0, 1]
    table.keep(restored)
    again = table.shard()
    again.clock.end_seen(1, START + 2 * HOUR)
    assert again.silence(10) == []


def test_P2_what_was_told_but_not_kept_is_told_again_as_the_same_fact() -> None:
    table = Table()
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    told = []
    for _ in range(2):
        restored = table.shard()
        restored.clock.end_seen(1, START + HOUR)
        told.append([(effect.id, effect.cause) for effect in restored.silence(10)])
    assert told[0] == told[1] != []


def test_a_later_activity_postpones_the_timer_without_a_new_entry() -> None:
    shard = Table().shard()
    heard(shard, 0)
    heard(shard, 10 * MINUTE)
    assert len(shard.timers) == 1
    shard.clock.end_seen(2, START + 20 * MINUTE)
    assert shard.silence(10) == []
    shard.clock.end_seen(2, START + 25 * MINUTE)
    assert len(shard.silence(10)) == 1


def test_a_forgotten_cart_leaves_a_tombstone_and_no_timer() -> None:
    table = Table()
    shard = table.shard()
    heard(shard, 0)
    heard(shard, MINUTE, "order_placed", order_id="o-1")
    table.keep(shard)
    assert KEY in table.rows
    shard.clock.end_seen(2, START + 3 * DAY)
    assert shard.silence(10) == []
    table.keep(shard)
    assert KEY not in table.rows
    assert len(shard.timers) == 0


def test_an_end_of_import_without_a_cart_releases_every_held_cart_of_its_store() -> None:
    shard = Table().shard()
    for number in range(3):
        heard(shard, 0, cart_id=f"old-{number}", imported=True, received_at=START)
    heard(shard, 0, cart_id="live")
    assert shard.clock.now == START
    shard.clock.end_seen(4, START + MINUTE)
    ended = activity("import_ended", 20 * MINUTE, cart_id="", imported=True, received_at=START + 20 * MINUTE)
    made = shard.end_import(ended, START + 20 * MINUTE, 4, setting())
    assert {effect.cart_id for effect in made} == {"old-0", "old-1", "old-2"}
    assert all(effect.imported for effect in made)
    shard.clock.applied(4, 0)
    shard.clock.end_seen(5, START + HOUR)
    assert [effect.cart_id for effect in shard.silence(10)].count("old-1") == 1


def test_a_cart_of_a_store_that_is_not_known_waits_and_is_looked_at_again() -> None:
    table = Table()
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    table.configs = {}
    restored = table.shard()
    restored.clock.end_seen(1, START + HOUR)
    assert restored.silence(10) == []
    table.configs = {STORE: setting()}
    restored.clock.end_seen(1, START + HOUR + RETRY_MS)
    assert len(restored.silence(10)) == 2


def test_nothing_changed_is_nothing_to_keep() -> None:
    table = Table()
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    shard.clock.end_seen(1, START + MINUTE)
    assert shard.changes() == []


@given(st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 50))), max_size=40))
def test_timers_give_each_cart_at_its_earliest_time_or_before_a_later_one(steps: list[tuple[int, int | None]]) -> None:
    timers = Timers()
    earliest: dict[bytes, int] = {}
    for cart, due in steps:
        key = bytes([cart])
        timers.set(key, due)
        if due is None:
            earliest.pop(key, None)
        else:
            earliest[key] = min(due, earliest.get(key, due))
    assert len(timers) == len(earliest)
    for now in range(51):
        while (given_out := timers.pop(now)) is not None:
            assert earliest.pop(given_out) == now
    assert earliest == {}
