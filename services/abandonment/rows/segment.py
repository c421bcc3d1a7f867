"""One file of batches: appended to at its end, read by place, and gone through again when it is to be left."""

from __future__ import annotations

import errno
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.abandonment.rows.batch import (
    HEAD,
    Mark,
    Table,
    head_of,
    is_whole,
    table_of,
)

_NAME = re.compile(r"(\d{12})\.rows")
READ_BYTES = 1 << 20


class Found(NamedTuple):
    """A batch that was read whole."""

    mark: Mark
    table: Table
    start: int  # Where its rows begin in the file.


class Segment:
    """A file. `slot` is what places call it while it is open."""

    def __init__(self, directory: Path, number: int, slot: int) -> None:
        self.path = directory / f"{number:012}.rows"
        self.number, self.slot = number, slot
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self.file).st_size
        self.numbers = array("I")  # Of the carts whose rows were written here, in their order.

    def append(self, data: bytearray) -> int:
        """The offset at which the batch stands now."""
        at = self.size
        if os.pwrite(self.file, data, at) != len(data):  # What was written of it is overwritten, or cut at the opening.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.size += len(data)
        return at

    def whole(self) -> Iterator[Found]:
        """Its batches up to the first that is not as it was written; ends before `size` if there is such a one."""
        at = 0
        with self.path.open("rb", buffering=READ_BYTES) as file:
            while len(first := file.read(HEAD.size)) == HEAD.size:
                head = head_of(first)
                if at + head.size > self.size:
                    return
                data = first + file.read(head.size - HEAD.size)
                if not is_whole(head, data):
                    return
                start = HEAD.size + head.table_size
                yield Found(head.mark, table_of(memoryview(data)[HEAD.size : start]), at + start)
                at += head.size

    def cut(self, size: int) -> None:
        """Forget what stands from there on."""
        os.ftruncate(self.file, size)
        self.size = size

    def close(self) -> None:
        os.close(self.file)

    def delete(self) -> None:
        self.close()
        self.path.unlink()


class Walk:
    """Goes through a segment from its beginning, as far as is asked each time."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._next = 0

    @property
    def each(self) -> int:
        """Bytes of the file for each of its rows."""
        return self._segment.size // max(1, len(self._segment.numbers)) + 1

    @property
    def passed(self) -> int:
        """Bytes gone through."""
        return self._next * self.each

    def take(self, size: int) -> array[int]:
        """The carts of the next rows of about that many bytes at most, one at the least; none at the end."""
        numbers = self._segment.numbers[self._next : self._next + max(1, size // self.each)]
        self._next += len(numbers)
        return numbers


def segments_in(directory: Path) -> list[int] | None:
    """The numbers of the files there, in order; None if something else is there too."""
    found = [_NAME.fullmatch(path.name) for path in directory.iterdir()]
    numbers = [int(match[1]) for match in found if match]
    return sorted(numbers) if len(numbers) == len(found) else None
