"""The rows of partitions on local disk. The changelog is what counts: a row here is there, and a lost disk is read anew.

Rows are appended to files, and an index in memory says where each cart's row stands. Each write takes along some rows from
the oldest file that are still the carts', until that file holds none and is deleted; so a tombstone may go with its
file, as nothing older is left. What is read lies in the operating system's page cache: no memory of the process.

Nothing is synced. A killed process loses nothing that was written; a machine that crashes may lose any part of any file.
Batches are numbered and have checksums, and each names the oldest file that it needs: the log is cut where the first
batch is broken or missing, which makes the rows older, as their offset says; and if the last one left needs a file that
was deleted since, all rows are dropped and read from the changelog.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import IO

from services.abandonment.rows.batch import (
    FILE_SHIFT,
    LARGEST,
    LENGTH,
    LENGTH_BITS,
    NOWHERE,
    OFFSET,
    Mark,
    Table,
    batch_of,
    places_of,
)
from services.abandonment.rows.segment import Segment, Walk, segments_in
from trolleybus.telemetry import get_logger

log = get_logger(__name__)

CLOCK_KEY = b"\x00clock"
"""A partition's own row: where it stands. No cart's key begins with a zero byte: store ids do not."""

FILE_BYTES = 1 << 20
"""A file is closed at this size, or at an eighth of what its partition holds."""
GARBAGE = 1.0
"""Rows that were replaced, against those that stand, at which rows begin to be taken along."""
PACE = 3
"""Bytes looked at for each that is written: above (1 + GARBAGE) / GARBAGE, with which GARBAGE would just be kept to."""
PIECE_BYTES = 128 << 10
"""Looked at in one go, and at least with each write."""
_BESIDES = 8
"""Bytes of a batch for each row beside key and row, about."""


class NoSlot(Exception):
    """Too many workers share the directory."""


class Disk:
    """A directory of this process' own among those of the workers on this host; a worker started anew finds its own."""

    def __init__(self, directory: Path, slots: int = 256, file_bytes: int = FILE_BYTES) -> None:
        self.directory, self._lock = _claim(directory, slots)
        self._file_bytes = file_bytes

    def open(self, partition: int) -> CartStore:
        """The rows of one partition. Raises OSError: a disk that cannot be used is the process' end."""
        return CartStore(self.directory / f"{partition:05}", self._file_bytes)

    def close(self) -> None:
        """Let another process have the directory."""
        self._lock.close()


class CartStore:
    """The rows of one partition, with the changelog's offset up to which they are whole.

    Not to be used any more once a method has raised OSError; opened again it stands at its last whole batch.
    """

    def __init__(self, directory: Path, file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._segments: deque[Segment] = (
            deque()
        )  # From the oldest, from which rows are taken along, to that written to.
        self._files: list[int] = []  # Those open, by the slot that places name.
        self._numbers: dict[bytes, int] = {}  # Of carts: each has one while it has a row.
        self._keys: list[bytes] = []  # By number.
        self._places = array("Q")  # By number. In one piece, as rows of many carts are looked for at random.
        self._free: list[int] = []
        self._mark: Mark | None = None
        self._live = 0  # Bytes of rows that stand.
        self._size = 0  # Of the files.
        self.looked_at = 0
        """Bytes of the files gone through so far to take along what stands."""
        directory.mkdir(parents=True, exist_ok=True)
        numbers = segments_in(directory)
        if numbers is None:
            log.warning("rows of another format: read anew from the changelog", directory=str(directory))
            shutil.rmtree(directory)
            directory.mkdir()
        self._read(numbers or [])
        if not self._segments:
            self._add_segment(1)
        self._walk = Walk(self._segments[0])

    @property
    def next_offset(self) -> int | None:
        """The changelog's offset to read on from; None for a new store."""
        return self._mark.next_offset if self._mark else None

    @property
    def kept_at(self) -> int:
        """When the last of these rows was appended to the changelog (ms); 0 for a new store."""
        return self._mark.appended_at if self._mark else 0

    def get(self, key: bytes) -> bytes | None:
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows of keys, in their order."""
        number_of, places, files, read = self._numbers.get, self._places, self._files, os.pread
        return [
            None
            if (number := number_of(key)) is None
            else read(files[(place := places[number]) >> FILE_SHIFT], place & LENGTH, place >> LENGTH_BITS & OFFSET)
            for key in keys
        ]

    def apply(self, rows: Iterable[tuple[bytes, bytes | None]], next_offset: int, appended_at: int) -> None:
        """Rows as the changelog has them, where it goes on and when the last was appended, at once."""
        changed = dict(rows)
        gone = [key for key, row in changed.items() if row is None]
        standing = {key: row for key, row in changed.items() if row is not None}
        left: list[Segment] = []
        carried = self._carried(changed, PACE * sum(map(len, standing.values())) + PIECE_BYTES, left)
        sequence = self._mark.sequence + 1 if self._mark else 1
        mark = Mark(sequence, self._segments[0].number, next_offset, appended_at)
        data, table, start = batch_of(mark, standing | carried, gone)
        last = self._segments[-1]
        self._note(table, last, last.append(data) + start)
        self._mark = mark
        self._size += len(data)
        for segment in left:  # Only now: this batch has the last of what they held.
            self._size -= segment.size
            segment.delete()
        if last.size >= min(max(self._file_bytes, self._live // 8), LARGEST):
            self._add_segment(last.number + 1)

    def carts(self) -> Iterator[tuple[bytes, bytes]]:
        """Every cart's key and row, in no order. Keys are the store's own objects: who keeps them pays for none."""
        for key, number in self._numbers.items():
            if key != CLOCK_KEY:
                yield key, self._row(self._places[number])

    def clear(self) -> None:
        """Forget everything."""
        if self._mark is None:
            return
        number = self._segments[-1].number
        for segment in self._segments:
            segment.delete()
        self._forget()
        self._add_segment(number + 1)
        self._walk = Walk(self._segments[0])

    def close(self) -> None:
        for segment in self._segments:
            segment.close()
        self._forget()

    def _forget(self) -> None:
        self._segments.clear()
        self._numbers.clear()
        self._keys.clear()
        self._free.clear()
        self._places = array("Q")
        self._mark, self._live, self._size = None, 0, 0

    def _carried(self, changed: Mapping[bytes, bytes | None], size: int, left: list[Segment]) -> dict[bytes, bytes]:
        """Rows to take along, found in about `size` bytes of the oldest files; those wholly gone through are put to `left`."""
        carried: dict[bytes, bytes] = {}
        places, keys = self._places, self._keys
        most = (1 + GARBAGE) * self._live + 2 * self._file_bytes
        there = self._size
        while size > 0 and len(self._segments) > 1 and there - self._walk.passed > most:
            numbers = self._walk.take(min(size, PIECE_BYTES))
            if not numbers:
                there -= self._segments[0].size
                left.append(self._segments.popleft())
                self._walk = Walk(self._segments[0])
                continue
            size -= len(numbers) * self._walk.each
            self.looked_at += len(numbers) * self._walk.each
            slot = self._segments[0].slot
            for number in numbers:
                if (place := places[number]) >> FILE_SHIFT == slot and (key := keys[number]) not in changed:
                    carried[key] = self._row(place)
        return carried

    def _row(self, place: int) -> bytes:
        return os.pread(self._files[place >> FILE_SHIFT], place & LENGTH, place >> LENGTH_BITS & OFFSET)

    def _note(self, table: Table, segment: Segment, start: int) -> None:
        """Rows stand there now, and others nowhere any more."""
        places, keys = self._places, table.keys
        numbers: list[int] = list(map(self._numbers.get, keys))  # type: ignore[arg-type]  # None is replaced below
        if None in numbers:
            for at, number in enumerate(numbers):
                if number is None:
                    numbers[at] = self._add(keys[at])
        self._live += sum(table.lengths) - sum(map(LENGTH.__and__, map(places.__getitem__, numbers)))
        deque(map(places.__setitem__, numbers, places_of(segment.slot, start, table.lengths)), maxlen=0)
        segment.numbers.extend(numbers)
        for key in table.gone:
            if key in self._numbers:
                number = self._numbers.pop(key)
                self._live -= (places[number] & LENGTH) + len(key) + _BESIDES
                places[number] = NOWHERE
                self._keys[number] = b""
                self._free.append(number)

    def _add(self, key: bytes) -> int:
        self._live += len(key) + _BESIDES
        if self._free:
            number = self._free.pop()
            self._keys[number] = key
        else:
            number = len(self._keys)
            self._keys.append(key)
            self._places.append(NOWHERE)
        self._numbers[key] = number
        return number

    def _read(self, numbers: Sequence[int]) -> None:
        """What stands in the files, up to the first batch that is broken or missing."""
        broken = ""
        for number in numbers:
            if broken:
                segment = Segment(self._directory, number, 0)
                segment.delete()
                continue
            segment = self._add_segment(number)
            whole = 0
            for mark, table, start in segment.whole():
                if self._mark and mark.sequence != self._mark.sequence + 1:
                    break
                self._note(table, segment, start)
                self._mark = mark
                whole = start + sum(table.lengths)
            if whole < segment.size or (not whole and number != numbers[-1]):  # Only the last may be empty.
                broken = f"{segment.path} at {whole}"
                self._size -= segment.size - whole
                segment.cut(whole)
        if broken:
            log.warning("rows on disk are broken and were cut there", where=broken, next_offset=self.next_offset)
        if self._mark and self._segments[0].number > self._mark.oldest:
            log.warning("rows on disk are missing: all are read anew", directory=str(self._directory))
            self.clear()

    def _add_segment(self, number: int) -> Segment:
        used = {segment.slot for segment in self._segments}
        slot = next(slot for slot in count() if slot not in used)
        segment = Segment(self._directory, number, slot)
        self._files[slot : slot + 1] = [segment.file]
        self._segments.append(segment)
        self._size += segment.size
        return segment


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
