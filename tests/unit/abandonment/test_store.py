"""The rows on disk against a dictionary: opened again, killed, damaged, cleared, and moved from old files to new ones."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.abandonment.store import CLOCK_KEY, GARBAGE, PACE, PIECE_BYTES, CartStore, Disk

KEYS = [b"store:cart-%d" % number for number in range(8)]
FILE_BYTES = 1_000

rows = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=700), max_size=4)
Rows = dict[bytes, bytes]


def changed(before: Rows, rows: dict[bytes, bytes | None]) -> Rows:
    return {key: row for key, row in {**before, **rows}.items() if row is not None}


def carts_of(store: CartStore) -> Rows:
    return dict(store.carts())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path, file_bytes=FILE_BYTES)
    yield disk
    disk.close()


def files_of(disk: Disk) -> list[Path]:
    return sorted((disk.directory / "00000").iterdir())


def filled(store: CartStore, batches: int, seed: int = 1, carts: int = 8) -> dict[int, Rows]:
    """Writes batches; returns what stood after each, by its offset."""
    chance = random.Random(seed)
    keys = [b"store:cart-%d" % number for number in range(carts)]
    states: dict[int, Rows] = {}
    state: Rows = {}
    for offset in range(1, batches + 1):
        some = {key: chance.choice([None, *[chance.randbytes(90)] * 5]) for key in chance.sample(keys, 3)}
        store.apply(some.items(), offset, offset * 10)
        states[offset] = state = changed(state, some)
    return states


class RowsOnDisk(RuleBasedStateMachine):
    """One partition's rows beside a dictionary that remembers what stood at each offset."""

    directory: Path

    @initialize(directory=st.builds(lambda: RowsOnDisk.directory / os.urandom(8).hex()))
    def open(self, directory: Path) -> None:
        self.disk = Disk(directory, file_bytes=FILE_BYTES)
        self.store = self.disk.open(0)
        self.offset = 0
        self.state: Rows = {}
        self.states: dict[int | None, Rows] = {None: {}}

    @rule(rows=rows)
    def apply(self, rows: dict[bytes, bytes | None]) -> None:
        self.offset += 1
        self.state = changed(self.state, rows)
        self.states[self.offset] = self.state
        self.store.apply([(CLOCK_KEY, b"clock"), *rows.items()], self.offset, self.offset * 10)

    @rule(rows=st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.binary(max_size=50))))
    def apply_several_rows_of_a_cart(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        self.offset += 1
        self.state = changed(self.state, dict(rows))
        self.states[self.offset] = self.state
        self.store.apply(iter(rows), self.offset, self.offset * 10)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.disk.open(0)

    @rule()
    def kill(self) -> None:
        """Its files stay open, and nobody writes to them any more."""
        self.store = self.disk.open(0)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.state, self.states = {}, {None: {}}
        assert self.store.next_offset is None

    @rule(data=st.data(), cut=st.booleans())
    def damage(self, data: st.DataObject, cut: bool) -> None:
        """Bytes of a file change, or its end is missing: what is left is what stood at some offset, or nothing."""
        self.store.close()
        path = data.draw(st.sampled_from(files_of(self.disk)))
        if size := path.stat().st_size:
            at = data.draw(st.integers(0, size - 1))
            if cut:
                os.truncate(path, at)
            else:
                bytes_ = bytearray(path.read_bytes())
                bytes_[at] ^= 1 << data.draw(st.integers(0, 7))
                path.write_bytes(bytes_)
        elif len(files_of(self.disk)) > 1:
            path.unlink()
        self.store = self.disk.open(0)
        self.state = self.states[self.store.next_offset]
        self.offset = self.store.next_offset or 0

    @invariant()
    def rows_are_as_last_written(self) -> None:
        store = self.store
        if self.states.keys() - {None}:
            assert store.kept_at == (store.next_offset or 0) * 10
        assert store.get_many(KEYS) == [store.get(key) for key in KEYS] == [*map(self.state.get, KEYS)]
        assert carts_of(store) == self.state

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.disk.close()


@pytest.fixture(autouse=True, scope="module")
def _directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    RowsOnDisk.directory = tmp_path_factory.mktemp("rows")


TestRowsOnDisk = RowsOnDisk.TestCase
TestRowsOnDisk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_many_files_are_read_in_their_order(disk: Disk) -> None:
    store = disk.open(0)
    states = filled(store, 300)
    store.close()
    assert len(files_of(disk)) > 2
    again = disk.open(0)
    assert (again.next_offset, carts_of(again)) == (300, states[300])
    again.close()


def test_rows_that_stand_go_along_and_files_go_away(disk: Disk) -> None:
    """Those of carts that nobody touches, too."""
    store = disk.open(0)
    store.apply([(b"store:empty", b"")], 1, 1)
    store.apply([(b"store:quiet", b"here"), (b"store:gone", b"not for long")], 1, 1)
    store.apply([(b"store:gone", None)], 2, 2)
    quiet = {b"store:quiet": b"here", b"store:empty": b""}
    states = filled(store, 2_000, carts=60)  # So many that one at hand is often among those to be taken along.
    assert carts_of(store) == {**states[2_000], **quiet}
    size = sum(path.stat().st_size for path in files_of(disk))
    live = sum(map(len, states[2_000].values()))
    assert size < 2 * (1 + GARBAGE) * live + 6 * FILE_BYTES
    store.close()
    again = disk.open(0)
    assert carts_of(again) == {**states[2_000], **quiet}
    again.close()


def test_a_write_looks_at_a_bounded_part_of_the_files(tmp_path: Path) -> None:
    disk = Disk(tmp_path, file_bytes=64 << 10)
    store = disk.open(0)
    keys = [b"store:cart-%05d" % number for number in range(5_000)]
    store.apply([(key, bytes(200)) for key in keys], 1, 1)
    largest = 0
    for _ in range(3):  # All that stands lies at the front, then nothing does.
        for begin in range(0, len(keys), 50):
            before = store.looked_at
            store.apply([(key, bytes(200)) for key in keys[begin : begin + 50]], 2, 2)
            largest = max(largest, store.looked_at - before)
    assert 0 < largest <= PACE * 50 * 200 + 2 * PIECE_BYTES
    assert dict(store.carts()) == dict.fromkeys(keys, bytes(200))
    store.close()
    disk.close()


@given(st.integers(0, 2**32), st.floats(0, 1, exclude_max=True), st.sampled_from(["cut", "flip", "zeros", "gone"]))
@settings(max_examples=60, deadline=None)
def test_after_a_crash_rows_are_those_of_an_earlier_offset_or_none(
    tmp_path_factory: pytest.TempPathFactory, seed: int, where: float, damage: str
) -> None:
    """Whatever a machine that crashes loses of files that were never synced."""
    disk = Disk(tmp_path_factory.mktemp("rows"), file_bytes=FILE_BYTES)
    store = disk.open(0)
    states: dict[int | None, Rows] = dict(filled(store, 40 + seed % 200, seed).items())
    states[None] = {}
    store.close()
    size = sum(path.stat().st_size for path in files_of(disk))
    at = int(size * where)
    for path in files_of(disk):
        if at < (here := path.stat().st_size):
            break
        at -= here
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": data[:at],
                "flip": data[:at] + bytes([data[at] ^ (1 + seed % 255)]) + data[at + 1 :],
                "zeros": data[:at] + bytes(len(data) - at),
            }[damage]
        )
    again = disk.open(0)
    assert carts_of(again) == states[again.next_offset]
    last = again.next_offset or 0
    again.apply([(b"store:after", b"the crash")], last + 1, 1)
    again.close()
    once_more = disk.open(0)
    assert carts_of(once_more) == {**states[last or None], b"store:after": b"the crash"}
    once_more.close()
    disk.close()


def test_a_write_that_a_kill_broke_off_is_cut_and_all_before_it_stays(disk: Disk) -> None:
    store = disk.open(0)
    states = filled(store, 100)
    store.close()
    last = files_of(disk)[-1]
    data = files_of(disk)[0].read_bytes()
    with last.open("ab") as file:
        file.write(data[: len(data) // 2])
    again = disk.open(0)
    assert (again.next_offset, again.kept_at) == (100, 1_000)
    assert carts_of(again) == states[100]
    again.close()


def test_rows_whose_oldest_file_is_missing_are_dropped(disk: Disk) -> None:
    store = disk.open(0)
    filled(store, 300)
    store.close()
    files_of(disk)[0].unlink()
    again = disk.open(0)
    assert (again.next_offset, again.kept_at, carts_of(again)) == (None, 0, {})
    again.close()


def test_files_of_another_format_are_dropped(disk: Disk) -> None:
    directory = disk.directory / "00000"
    directory.mkdir()
    (directory / "CURRENT").write_text("MANIFEST-000005\n")
    (directory / "000012.sst").write_bytes(bytes(100))
    store = disk.open(0)
    assert store.next_offset is None
    states = filled(store, 10)
    store.close()
    again = disk.open(0)
    assert carts_of(again) == states[10]
    again.close()


def test_a_row_and_a_batch_larger_than_a_file_stand_whole(disk: Disk) -> None:
    store = disk.open(0)
    large = {b"store:large": bytes(3_000_000), **{b"store:other-%d" % number: bytes(2_000) for number in range(2_000)}}
    store.apply(large.items(), 1, 1)
    states = filled(store, 50)
    store.close()
    again = disk.open(0)
    assert carts_of(again) == {**large, **states[50]}
    again.close()


def test_an_oldest_file_that_lost_all_it_held_takes_the_others_with_it(disk: Disk) -> None:
    store = disk.open(0)
    filled(store, 300)
    store.close()
    os.truncate(files_of(disk)[0], 0)
    again = disk.open(0)
    assert (again.next_offset, carts_of(again)) == (None, {})
    again.close()


def test_a_row_too_large_for_any_place_is_refused_and_nothing_is_written(disk: Disk) -> None:
    store = disk.open(0)
    with pytest.raises(ValueError, match="are the most"):
        store.apply([(b"store:large", bytes(40 << 20))], 1, 1)
    assert (store.next_offset, carts_of(store)) == (None, {})
    store.close()
