"""What the generated readers look up and call: tables for the first byte, functions for what is rare.

An Avro integer is a varint, seven bits a byte, the lowest first, then zigzag: even for zero and above, odd below.
Readers only ever move forward, so an index past the end is met by the next byte read or by the check of the end.
"""

from __future__ import annotations

import struct
from typing import Final

BAD_BYTES: Final = (IndexError, ValueError, struct.error)
"""What generated readers raise on bytes that do not follow the schema."""

BEYOND: Final = 1 << 62
"""Further than any end: where a negative length leads."""

LENGTH: Final = tuple(BEYOND if n & 1 else (n & 127) >> 1 for n in range(256))
"""Length by its first byte; of a longer varint the lowest six bits of it."""

SIGNED: Final = tuple(n >> 1 if not n & 1 else -(n + 1 >> 1) for n in range(128))
"""Integer by its only byte."""

TRUTH: Final = (False, True)

MOMENT_BITS: Final = sum(1 << 7 * n + 7 for n in range(5))
"""What five bytes add to a varint of six by saying that more follow."""

six_bytes: Final = struct.Struct("6B").unpack_from
double: Final = struct.Struct("<d").unpack_from
single: Final = struct.Struct("<f").unpack_from


def integer(data: bytes, at: int) -> tuple[int, int]:
    """An integer of any length, and where it ends."""
    value = part = data[at]
    shift = 0
    while part > 127:
        at += 1
        shift += 7
        part = data[at]
        value += part - 1 << shift  # One less: so the bit is taken back that said that this byte follows.
        if shift > 63:
            raise ValueError("an integer has more than ten bytes")
    if value >> 64:
        raise ValueError("an integer has more than 64 bits")
    return value >> 1 ^ -(value & 1), at + 1


def skip_integer(data: bytes, at: int) -> int:
    """Where an integer ends."""
    return integer(data, at)[1]


def span(data: bytes, at: int) -> tuple[int, int]:
    """Start and end of what a length stands before."""
    length, start = integer(data, at)
    if length < 0 or start + length > len(data):
        raise ValueError(f"{length} bytes are said to follow where {len(data) - start} do")
    return start, start + length


def block(data: bytes, at: int) -> tuple[int, int]:
    """Count of a block of items, and where the items start; a negative count has the block's size behind it."""
    count, at = integer(data, at)
    if count < 0:
        size, at = integer(data, at)
        count = -count
        if size < count or at + size > len(data):
            raise ValueError(f"{count} items cannot stand in {size} bytes")
    if count == 0:
        raise ValueError("a block of no items is not written as its one zero")
    return count, at
