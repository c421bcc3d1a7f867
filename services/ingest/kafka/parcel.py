"""A record's value, key and headers in one run of bytes, so that who makes them in C hands over one object.

Unsigned 32-bit numbers in the machine's own order: the value's size, the key's size, how many headers, and for each of them
its name's size and its value's. Then, without anything between, the value, the key, and each header's name and value.
Names are UTF-8. There is always a value and a key; they may be empty. A tombstone cannot be said so.
"""

from struct import calcsize, error, unpack_from
from typing import NamedTuple


class Parts(NamedTuple):
    value: bytes
    key: bytes
    headers: list[tuple[str, bytes]]


def parts(parcel: bytes) -> Parts:
    """Raises ValueError where sizes and bytes do not fit together."""
    try:
        value_size, key_size, count = unpack_from("=3I", parcel)
        sizes = unpack_from(f"={2 * count}I", parcel, calcsize("=3I"))
    except (error, OverflowError):
        raise ValueError("a parcel ends within its sizes") from None
    at = calcsize("=3I") + 4 * len(sizes)
    if at + value_size + key_size + sum(sizes) != len(parcel):
        raise ValueError("a parcel's sizes are not those of its bytes")
    found = []
    for size in (value_size, key_size, *sizes):
        found.append(parcel[at : at + size])
        at += size
    value, key, *rest = found
    return Parts(value, key, [(name.decode(), text) for name, text in zip(rest[::2], rest[1::2], strict=True)])
