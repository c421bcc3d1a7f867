"""The rows on disk, from write buffers and from files alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import BlockBasedOptions, DBCompressionType, Options, Rdict

from services.abandonment.store import CLOCK_KEY, CartStore, Disk

KEYS = [b"store:cart-%d" % number for number in range(8)]

rows = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=2_000))
steps = st.lists(rows | st.sampled_from(["reopen", "clear"]), max_size=12)


class Opened:
    """One partition's rows, which can be closed, so that they lie in files, and opened again."""

    def __init__(self, directory: Path) -> None:
        self._disk = Disk(directory)
        self.store = self._disk.open(0)

    def reopen(self) -> CartStore:
        self.store.close()
        self.store = self._disk.open(0)
        return self.store

    def close(self) -> None:
        self.store.close()
        self._disk.close()


@given(steps)
def test_rows_are_as_last_written_wherever_they_lie(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[bytes, bytes | None] | str]
) -> None:
    opened = Opened(tmp_path_factory.mktemp("rows"))
    expected: dict[bytes, bytes] = {}
    try:
        for offset, step in enumerate(steps, 1):
            if step == "reopen":
                opened.reopen()
            elif step == "clear":
                opened.store.clear()
                expected = {}
                assert opened.store.next_offset is None
            elif isinstance(step, dict):
                opened.store.apply([(CLOCK_KEY, b"clock"), *step.items()], offset, offset * 10)
                expected = {key: row for key, row in {**expected, **step}.items() if row is not None}
                assert (opened.store.next_offset, opened.store.kept_at) == (offset, offset * 10)
            assert opened.store.get_many(KEYS) == [opened.store.get(key) for key in KEYS] == [*map(expected.get, KEYS)]
            assert list(opened.store.carts()) == sorted(expected.items())
    finally:
        opened.close()


def test_rows_that_an_earlier_release_compressed_are_read(tmp_path: Path) -> None:
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, block_based=False)
    blocks.set_cache_index_and_filter_blocks(True)
    earlier = Options(raw_mode=True)
    earlier.set_block_based_table_factory(blocks)
    earlier.set_compression_type(DBCompressionType.lz4())
    disk = Disk(tmp_path)
    with Rdict(str(disk.directory / "00000"), options=earlier) as written:
        for key in KEYS:
            written[key] = key * 100
    store = disk.open(0)
    assert store.get_many(KEYS) == [key * 100 for key in KEYS]
    store.close()
    disk.close()
