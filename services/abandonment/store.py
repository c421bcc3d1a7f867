"""The rows of partitions on local disk. The changelog is what counts: a row here is there, and a lost disk is read anew.

A cache of blocks small enough to keep mostly misses where many carts are live, and filling it costs more than it saves:
what is not in the write buffers is read, as it lies on disk, from the operating system's page cache. Memory is bounded:
all partitions share one budget of write buffers, and beside it stand only indexes and filters, a few bytes a row.
RocksDB's own log is off; what a crash takes from the write buffers is read from the changelog again, because the offset
goes with the rows.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from rocksdict import (
    BlockBasedOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

CLOCK_KEY = b"\x00clock"
"""A partition's own row: where it stands. No cart's key begins with a zero byte: store ids do not."""
_OFFSET_KEY = b"\x00offset"
_OFFSET = struct.Struct(">qq")
_FIRST_CART = b"\x01"

MIB = 1 << 20
WRITE_BUFFERS_BYTES = 128 * MIB
"""Of all partitions; above what twelve full ones hold: near the limit RocksDB makes a file of the buffer at hand, however
small, while those of idle partitions stay."""
WRITE_BUFFER_BYTES = 8 * MIB
MERGED_AT_FILES = 16


class NoSlot(Exception):
    """Too many workers share the directory."""


class Disk:
    """A directory of this process' own among those of the workers on this host; a worker started anew finds its own."""

    def __init__(self, directory: Path, slots: int = 256) -> None:
        self.directory, self._lock = _claim(directory, slots)
        self._buffers = WriteBufferManager(WRITE_BUFFERS_BYTES, allow_stall=False)

    def open(self, partition: int) -> CartStore:
        """The rows of one partition. Raises what RocksDB raises: a disk that cannot be used is the process' end."""
        path = self.directory / f"{partition:05}"
        return CartStore(Rdict(str(path), options=self._options()))

    def close(self) -> None:
        """Let another process have the directory."""
        self._lock.close()

    def _options(self) -> Options:
        blocks = BlockBasedOptions()
        blocks.disable_cache()  # Of blocks; indexes and filters stay in memory.
        blocks.set_bloom_filter(10, block_based=False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_max_open_files(-1)  # So that no index or filter is read anew.
        options.set_compression_type(DBCompressionType.none())  # Each read would unpack a block for one row.
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_write_buffer_manager(self._buffers)
        options.set_max_write_buffer_number(2)
        # Of many carts most are in files: spares the search for them in the buffers.
        options.set_memtable_whole_key_filtering(True)
        options.set_memtable_prefix_bloom_ratio(0.02)
        # Each merge writes all rows of the partition anew, and the filters keep reads of many files cheap.
        options.set_level_zero_file_num_compaction_trigger(MERGED_AT_FILES)
        options.set_level_zero_slowdown_writes_trigger(3 * MERGED_AT_FILES)
        options.set_level_zero_stop_writes_trigger(4 * MERGED_AT_FILES)
        options.set_max_background_jobs(1)
        options.set_keep_log_file_num(2)
        return options


class CartStore:
    """The rows of one partition, with the changelog's offset up to which they are whole."""

    def __init__(self, rows: Rdict) -> None:
        self._rows = rows
        self._writing = WriteOptions()
        self._writing.disable_wal = True  # type: ignore[method-assign,assignment]  # a property; the stub says method

    @property
    def next_offset(self) -> int | None:
        """The changelog's offset to read on from; None for a new store."""
        kept = self._rows.get(_OFFSET_KEY)
        return _OFFSET.unpack(kept)[0] if kept is not None else None

    @property
    def kept_at(self) -> int:
        """When the last of these rows was appended to the changelog (ms); 0 for a new store."""
        kept = self._rows.get(_OFFSET_KEY)
        return _OFFSET.unpack(kept)[1] if kept is not None else 0

    def get(self, key: bytes) -> bytes | None:
        row: bytes | None = self._rows.get(key)
        return row

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The rows of keys, in their order."""
        rows: list[bytes | None] = self._rows.get(keys)  # type: ignore[arg-type,assignment]  # the stub knows no lists of bytes
        return rows

    def apply(self, rows: Iterable[tuple[bytes, bytes | None]], next_offset: int, appended_at: int) -> None:
        """Rows as the changelog has them, where it goes on and when the last was appended, at once."""
        batch = WriteBatch(raw_mode=True)
        for key, row in rows:
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        batch.put(_OFFSET_KEY, _OFFSET.pack(next_offset, appended_at))
        self._rows.write(batch, self._writing)

    def carts(self) -> Iterator[tuple[bytes, bytes]]:
        """Every cart's key and row."""
        rows: Iterator[tuple[bytes, bytes]] = self._rows.items(from_key=_FIRST_CART)  # type: ignore[assignment]  # an iterator of its own class
        return rows

    def clear(self) -> None:
        """Forget everything."""
        self._rows.delete_range(b"", b"\xff" * 16)

    def close(self) -> None:
        self._rows.close()


def _claim(directory: Path, slots: int) -> tuple[Path, IO[bytes]]:
    for number in range(slots):
        slot = directory / str(number)
        slot.mkdir(parents=True, exist_ok=True)
        lock = (slot / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return slot, lock
    raise NoSlot(f"{slots} workers keep their rows below {directory}: give this one another STATE_DIR")
