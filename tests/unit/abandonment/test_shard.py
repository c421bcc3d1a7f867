"""One partition's carts: what is kept, what is restored, what the clock publishes. Rows are on a real disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from services.abandonment.domain.activity import Activity, activity_of
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.timers import Timers
from services.abandonment.shard import RETRY_MS, Changes, MissingSetting, Shard
from services.abandonment.store import CartStore, Disk
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, STORE, activity, line, setting
from trolleybus.codec import UnreadableRecord
from trolleybus.contracts.recovery import CartAbandoned

KEY = b"store-1:cart-1"
NUMBER = 3


class Reader:
    """Reads what `record` wrote."""

    def read(self, data: bytes | None) -> Activity:
        if data is None:
            raise UnreadableRecord("a tombstone")
        return msgspec.msgpack.decode(data, type=Activity)


class Known:
    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {STORE: setting()}

    def of_record(self, store_id: str, version: int) -> Setting | None:
        return self.known(store_id, version)

    def known(self, store_id: str, version: int) -> Setting | None:
        return self.settings.get(store_id)


class Table:
    """The rows as the changelog has them, and the shards that live on them."""

    def __init__(self, store: CartStore) -> None:
        self.store = store
        self.known = Known()
        self.offset = 0

    def shard(self) -> Shard:
        """Restored as after an assignment."""
        shard = Shard(NUMBER, self.store, self.known, Reader())
        shard.restore(first_offset=0)
        return shard

    def keep(self, shard: Shard) -> Changes:
        changes = shard.take()
        self.store.apply(changes.rows, 0, START)
        shard.kept()
        return changes


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    disk = Disk(tmp_path)
    store = disk.open(NUMBER)
    yield Table(store)
    store.close()
    disk.close()


def record(offset: int, at: int, kind: str = "lines_added", **more: Any) -> ConsumerRecord:
    told = activity(kind, at, line("a"), **more)
    key = f"{told.store_id}:{told.cart_id}".encode()
    value = msgspec.msgpack.encode(activity_of(told))
    return ConsumerRecord("cart.activity.v1", NUMBER, offset, START + at, 1, key, value, None, 0, 0, ())


def heard(shard: Shard, at: int, kind: str = "lines_added", **more: Any) -> None:
    assert shard.hear([record(shard.clock.next_offset, at, kind, **more)]) is None


def told_by(shard: Shard, limit: int = 10) -> list[Effect]:
    shard.effects.clear()
    shard.silence(limit)
    return list(shard.effects)


def test_the_clock_publishes_what_silence_made_due(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    assert told_by(shard) == []
    shard.clock.end_seen(1, START + 15 * MINUTE)
    (told,) = told_by(shard)
    assert isinstance(told, CartAbandoned)
    assert told_by(shard) == []


def test_P2_a_shard_restored_from_its_rows_goes_on_where_it_stood(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    restored = table.shard()
    assert (restored.clock.now, restored.clock.next_offset) == (START, 1)
    restored.clock.end_seen(1, START + 2 * HOUR)
    first = told_by(restored)
    assert [effect.cause.ordinal for effect in first] == [0, 1]
    table.keep(restored)
    again = table.shard()
    again.clock.end_seen(1, START + 2 * HOUR)
    assert told_by(again) == []


def test_P2_what_was_told_but_not_kept_is_told_again_as_the_same_fact(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    told = []
    for _ in range(2):
        restored = table.shard()
        restored.clock.end_seen(1, START + HOUR)
        told.append([(effect.id, effect.cause) for effect in told_by(restored)])
    assert told[0] == told[1] != []


def test_P2_a_cart_that_changes_while_its_row_is_written_is_not_lost(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    taken = shard.take()
    heard(shard, MINUTE)
    table.store.apply(taken.rows, 0, START)
    shard.kept()
    assert taken.next_offset == 1
    table.keep(shard)
    state = table.shard().lookup(KEY)
    assert state is not None
    assert state.last_activity_at == START + MINUTE


def test_changes_are_not_taken_twice_before_they_are_kept(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    shard.take()
    with pytest.raises(RuntimeError):
        shard.take()


def test_P2_records_that_were_heard_before_are_passed_over_and_missing_ones_stop_the_flow(table: Table) -> None:
    shard = table.shard()
    records = [record(offset, offset * MINUTE) for offset in range(6)]
    assert shard.hear(records[:3]) is None
    assert shard.hear(records[1:4]) is None
    assert (shard.notes[Note.APPLIED], shard.replayed) == (4, 2)
    stop = shard.hear(records[5:])
    assert stop is not None
    assert (stop.at, stop.waits_for, shard.clock.next_offset) == (0, None, 4)
    shard.pass_over(5)
    assert shard.hear(records[5:]) is None


def test_P8_a_record_that_cannot_be_used_is_parked_and_the_flow_goes_on(table: Table) -> None:
    shard = table.shard()
    foreign = record(1, 0)
    foreign.key = b"store-1:another"
    assert shard.hear([tombstone(0), foreign, record(2, 0)]) is None
    assert [type(parked.error).__name__ for parked in shard.parked] == ["UnreadableRecord", "Rejected"]
    assert shard.lookup(KEY) is not None
    assert len(table.keep(shard).parked) == 2


def tombstone(offset: int) -> ConsumerRecord:
    return ConsumerRecord("cart.activity.v1", NUMBER, offset, START, 1, KEY, None, None, 0, 0, ())


def test_P8_a_record_of_an_unknown_version_stops_the_partition_where_it_stands(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    table.known.settings = {}
    stop = shard.hear([record(1, MINUTE), record(2, MINUTE)])
    assert stop is not None
    assert isinstance(stop.waits_for, MissingSetting)
    assert (stop.at, shard.clock.next_offset) == (0, 1)
    table.known.settings = {STORE: setting()}
    assert shard.hear([record(1, MINUTE), record(2, MINUTE)]) is None


def test_a_later_activity_postpones_the_timer(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    heard(shard, 10 * MINUTE)
    assert len(shard.timers) == 1
    shard.clock.end_seen(2, START + 20 * MINUTE)
    assert told_by(shard) == []
    shard.clock.end_seen(2, START + 25 * MINUTE)
    assert len(told_by(shard)) == 1


def test_a_forgotten_cart_leaves_a_tombstone_and_no_timer(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    heard(shard, MINUTE, "order_placed", order_id="o-1")
    table.keep(shard)
    assert table.store.get(KEY) is not None
    shard.clock.end_seen(2, START + 3 * DAY)
    assert told_by(shard) == []
    assert (KEY, None) in table.keep(shard).rows
    assert table.store.get(KEY) is None
    assert len(shard.timers) == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_end_of_import_without_a_cart_releases_every_held_cart_of_its_store(table: Table, is_kept: bool) -> None:
    shard = table.shard()
    for number in range(3):
        heard(shard, 0, cart_id=f"old-{number}", imported=True, received_at=START)
    heard(shard, 0, cart_id="live")
    if is_kept:
        table.keep(shard)
        shard = table.shard()
    assert shard.clock.now == START
    shard.clock.end_seen(4, START + MINUTE)
    heard(shard, 20 * MINUTE, "import_ended", cart_id="", imported=True, received_at=START + 20 * MINUTE)
    assert {effect.cart_id for effect in shard.effects} == {"old-0", "old-1", "old-2"}
    assert all(effect.imported for effect in shard.effects)
    shard.clock.end_seen(5, START + HOUR)
    assert [effect.cart_id for effect in told_by(shard)].count("old-1") == 1


@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(["lines_added", "cart_emptied", "order_placed", "product_viewed"]), st.integers(0, 90)
        ),
        max_size=4,
    ),
    appended=st.sampled_from([1, 16, 61, 24 * 60 + 1, 31 * 24 * 60, 40 * 24 * 60]),
)
@settings(max_examples=60, deadline=None)
def test_P2_history_of_a_cart_that_lives_gives_the_same_whether_the_clock_or_the_history_comes_first(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int]], appended: int
) -> None:
    told: list[list[tuple[str, str, int]]] = []
    disk = Disk(tmp_path_factory.mktemp("rows"))
    for comes_first in ("clock", "history"):
        store = disk.open(len(told))
        shard = Table(store).shard()
        heard(shard, 0)
        if comes_first == "clock":
            shard.clock.end_seen(1, START + appended * MINUTE)
            shard.silence(100)
        for number, (kind, at) in enumerate(history):
            imported = record(
                shard.clock.next_offset, at * MINUTE, kind, id=f"old-{number}", imported=True, order_id=f"o-{number}",
                received_at=START + at * MINUTE,
            )  # fmt: skip
            imported.timestamp = START + appended * MINUTE
            assert shard.hear([imported]) is None
        shard.clock.end_seen(shard.clock.next_offset, START + 100 * DAY)
        shard.silence(100)
        told.append([(type(effect).__name__, effect.id, effect.cause.ordinal) for effect in shard.effects])
        assert not shard.mistakes
        store.close()
    disk.close()
    assert told[0] == told[1]


def test_a_cart_of_a_store_that_is_not_known_waits_and_is_looked_at_again(table: Table) -> None:
    shard = table.shard()
    heard(shard, 0)
    table.keep(shard)
    table.known.settings = {}
    restored = table.shard()
    restored.clock.end_seen(1, START + HOUR)
    assert told_by(restored) == []
    table.known.settings = {STORE: setting()}
    restored.clock.end_seen(1, START + HOUR + RETRY_MS)
    assert len(told_by(restored)) == 2


def test_it_knows_how_large_the_rows_are_that_wait(table: Table) -> None:
    shard = table.shard()
    for at in range(3):
        heard(shard, at)
        heard(shard, at, cart_id="cart-2")
    waiting = shard.changed_bytes
    assert waiting == sum(len(row or b"") for key, row in table.keep(shard).rows if key in {KEY, b"store-1:cart-2"}) > 0
    assert shard.changed_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 50))), max_size=60))
def test_timers_give_each_cart_once_at_its_last_time(steps: list[tuple[int, int | None]]) -> None:
    timers = Timers()
    dues: dict[bytes, int] = {}
    for cart, due in steps:
        key = bytes([cart])
        timers.set(key, due)
        if due is None:
            dues.pop(key, None)
        else:
            dues[key] = due
    assert len(timers) == len(dues)
    for now in range(51):
        while given_out := timers.pop(now, 1):
            assert dues.pop(given_out[0]) == now
    assert dues == {}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50), st.integers(1, 4), st.lists(st.one_of(st.none(), st.integers(1, 30)), max_size=5)
        ),
        max_size=40,
    )
)
def test_timers_give_each_sweep_what_is_due_and_nothing_else(
    sweeps: list[tuple[int, int, list[int | None]]],
) -> None:
    timers = Timers()
    dues: dict[bytes, int] = {}
    now = 0
    for pause, limit, later in sweeps:
        for cart, wait in enumerate(later):
            timers.set(bytes([cart]), None if wait is None else now + wait)
            dues.pop(bytes([cart]), None)
            if wait is not None:
                dues[bytes([cart])] = now + wait
        now += pause
        due = {key for key, at in dues.items() if at <= now}
        given_out = timers.pop(now, limit)
        assert len(given_out) == len(set(given_out)) == min(limit, len(due))
        assert due.issuperset(given_out)
        for key in given_out:  # As a cart whose level fired: to its next time, or to none.
            timers.set(key, now + 7 if limit > 1 else None)
            dues.pop(key)
            if limit > 1:
                dues[key] = now + 7
        assert len(timers) == len(dues)


def test_timers_that_move_to_earlier_times_again_and_again_take_no_more_room() -> None:
    keys = [b"%d" % cart for cart in range(4_000)]
    timers = Timers.of((key, 100_000) for key in keys)
    looks = []
    for due in range(100_000, 80_000, -1):
        timers.set(keys[due % len(keys)], due)
        looks.append(len(timers._heap))
    assert max(looks) <= 1.25 * len(keys) + 1_001
