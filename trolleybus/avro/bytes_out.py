"""What the generated writers look up and call."""

from __future__ import annotations

import struct
from typing import Final


def integer(value: int) -> bytes:
    """An integer as Avro writes it: zigzag, then seven bits a byte, the lowest first."""
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} has more than 64 bits")
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


NEAR: Final = 1 << 10
SHORT: Final = tuple(map(integer, (*range(NEAR), *range(-NEAR, 0))))
"""Integers near zero at their own index: a negative index counts from the end."""

double: Final = struct.Struct("<d").pack
single: Final = struct.Struct("<f").pack
