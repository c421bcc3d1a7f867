"""Which records a cart has heard: the ids of the last of them, kept small.

The gateway's ids are UUIDs in their canonical form: 16 bytes each, one after the other. Any other text is kept as it
is, and counted for itself. Nothing is hashed: two ids are one only if they are the same text.
"""

from __future__ import annotations

import msgspec

MAX_SEEN = 100
"""Ids remembered of a cart, the latest applied; a duplicate that comes later than that is harmless by event time."""

SIZE = 16


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value; what it is asked and told are ids as `compact` gives them."""

    uuids: bytes = b""
    others: tuple[str, ...] = ()

    def knows(self, id_: bytes | str) -> bool:
        if isinstance(id_, str):
            return id_ in self.others
        if id_ not in self.uuids:
            return False
        at = self.uuids.find(id_)
        while at > 0 and at % SIZE:  # Found across two ids.
            at = self.uuids.find(id_, at + 1)
        return at >= 0

    def plus(self, id_: bytes | str) -> Seen:
        """With one more; the oldest of its form goes where MAX_SEEN are known."""
        if isinstance(id_, str):
            return Seen(self.uuids, (*self.others, id_)[-MAX_SEEN:])
        return Seen((self.uuids + id_)[-MAX_SEEN * SIZE :], self.others)


NONE_SEEN = Seen()


def compact(id_: str) -> bytes | str:
    """The 16 bytes of a canonical UUID; any other text as it is."""
    if len(id_) != 36 or id_[8:24:5] != "----":
        return id_
    digits = id_.replace("-", "")
    try:
        short = bytes.fromhex(digits)
    except ValueError:
        return id_
    return short if len(short) == SIZE and short.hex() == digits else id_
