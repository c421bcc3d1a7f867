"""What people give on the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import typer

from trolleybus.cli import CommandError
from trolleybus.contracts.durations import BadDuration, seconds


def moment(text: str | None) -> int | None:
    """A time in ms: "now", ISO 8601 (without an offset it is of this computer's zone) or a day."""
    if text is None:
        return None
    if text == "now":
        return int(time.time() * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time such as 2026-03-01, 2026-03-01T12:00Z or now") from None


def levels_of(text: str | None) -> tuple[int, ...]:
    """Levels in seconds, ascending: 900,3600 or 15m,1h."""
    if text is None:
        return ()
    try:
        parts = [part.strip() for part in text.split(",")]
        levels = sorted({int(part) if part.isdecimal() else seconds(part) for part in parts})
    except BadDuration as error:
        raise typer.BadParameter(f"{error}, or 900 for seconds") from None
    if levels[0] < 1:
        raise typer.BadParameter("a level is at least one second")
    return tuple(levels)


@contextmanager
def private_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file that only its owner may read, and that stands under its name once it is whole."""
    refuse_to_overwrite(path, force=force)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as sink:
            yield sink
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Raises CommandError."""
    if path.exists() and not force:
        raise CommandError(f"{path} is there already: name another file, or add --force to replace it")
