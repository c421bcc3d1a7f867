"""What the generated writers look up and call."""

from __future__ import annotations

import struct
from typing import Final


def integer(value: int) -> bytes:
    """An integer as Avro writes it: zigzag, then seven bits a byte, the lowest first."""
    rest = value << 1 ^ value >> 63
    if rest < 1 << 14:
        return bytes((rest & 127 | 128, rest >> 7)) if rest > 127 else bytes((rest,))
    if 1 << 35 <= rest < 1 << 42:  # Milliseconds since the epoch, from 1970-07 to 2039.
        low, high = rest & 0xFFFFFFF, rest >> 28
        return bytes(
            (low & 127 | 128, low >> 7 & 127 | 128, low >> 14 & 127 | 128, low >> 21 | 128, high & 127 | 128, high >> 7)
        )
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} has more than 64 bits")
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
