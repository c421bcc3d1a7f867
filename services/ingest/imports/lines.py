"""A file of JSON lines, plain or gzip."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

LONGEST_LINE = 1_048_576
_GZIP = b"\x1f\x8b"


class BadFile(Exception):
    """The file cannot be read; the text says why."""


class Lines:
    """Numbered lines from the first, without their ends; a line over LONGEST_LINE bytes is None. Empty ones are skipped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise BadFile(f"{path} cannot be read: {error.strerror}") from None
        is_gzip = self._file.read(2) == _GZIP
        self._file.seek(0)
        self._text: BinaryIO = gzip.GzipFile(fileobj=self._file) if is_gzip else self._file  # type: ignore[assignment]  # it reads as one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()
        self._file.close()

    def position(self) -> int:
        """Bytes of the file that were read, of `size`."""
        return self._file.tell()

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        number = 0
        try:
            while line := self._text.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    self._skip_rest()
                    yield number, None
                elif stripped := line.strip():
                    yield number, stripped
        except (OSError, EOFError) as error:
            raise BadFile(f"{self._path} cannot be read beyond line {number}: {error}") from None

    def _skip_rest(self) -> None:
        while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass
