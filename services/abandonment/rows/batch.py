"""Rows of carts as one batch of bytes: written whole or not there. No I/O.

A batch is its head, a table of its keys, and the rows one after another. The head's checksum covers all the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, repeat
from operator import lshift, or_
from typing import NamedTuple
from zlib import crc32

import msgspec

HEAD = struct.Struct(">IIIQQqq")
_CHECKSUM = struct.Struct(">I")

LENGTH_BITS = 25
OFFSET_BITS = 30
LENGTH = (1 << LENGTH_BITS) - 1
OFFSET = (1 << OFFSET_BITS) - 1
LARGEST = OFFSET // 2
"""Bytes of a batch, and of a file to which one may still be added."""
FILE_SHIFT = LENGTH_BITS + OFFSET_BITS
"""A row's place in one number: file, offset, length. Up to 32 files it is one of Python's small objects (32 bytes)."""
NOWHERE = (1 << 64) - 1 - LENGTH
"""The place of a cart without a row: in a file that is never opened, with no length."""


class Mark(NamedTuple):
    """What a batch says beside its rows."""

    sequence: int  # One more than that of the batch before.
    oldest: int  # The first file that holds a row which is still the cart's.
    next_offset: int  # Of the changelog: where it goes on.
    appended_at: int  # When the changelog had the last of these rows (ms).


class Table(NamedTuple):
    """Which rows follow, and whose carts are gone."""

    keys: Sequence[bytes]
    lengths: Sequence[int]
    gone: Sequence[bytes] = ()


class Head(NamedTuple):
    """The sizes (bytes) by which a batch is read."""

    checksum: int
    table_size: int
    rows_size: int
    mark: Mark

    @property
    def size(self) -> int:
        return HEAD.size + self.table_size + self.rows_size


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], list[int], list[bytes]]).decode


def batch_of(mark: Mark, rows: Mapping[bytes, bytes], gone: Sequence[bytes]) -> tuple[bytearray, Table, int]:
    """The batch's bytes, its table, and where in it the rows begin. Raises ValueError for what no place could tell."""
    table = Table(list(rows), list(map(len, rows.values())), gone)
    if max(table.lengths, default=0) > LENGTH:
        raise ValueError(f"a row of {max(table.lengths)} bytes: {LENGTH} are the most")
    written = _encode(table)
    data = bytearray().join((bytes(HEAD.size), written, *rows.values()))
    start = HEAD.size + len(written)
    if len(data) > LARGEST:
        raise ValueError(f"a batch of {len(data)} bytes: {LARGEST} are the most")
    HEAD.pack_into(data, 0, 0, len(written), len(data) - start, *mark)
    _CHECKSUM.pack_into(data, 0, _checksum(data))
    return data, table, start


def head_of(data: bytes) -> Head:
    """From the first HEAD.size bytes of a batch."""
    checksum, table_size, rows_size, *mark = HEAD.unpack(data)
    return Head(checksum, table_size, rows_size, Mark(*mark))


def is_whole(head: Head, data: bytes) -> bool:
    """Whether these are the bytes of the batch as they were written."""
    return len(data) == head.size and _checksum(data) == head.checksum


def table_of(data: bytes | memoryview) -> Table:
    """From the bytes between head and rows."""
    return Table(*_decode(data))


def places_of(file: int, start: int, lengths: Sequence[int]) -> Iterable[int]:
    """Where rows are that lie one after another from an offset of a file."""
    starts = accumulate(lengths, initial=file << OFFSET_BITS | start)
    return map(or_, map(lshift, starts, repeat(LENGTH_BITS)), lengths)


def _checksum(data: bytes | bytearray) -> int:
    return crc32(memoryview(data)[_CHECKSUM.size :])
