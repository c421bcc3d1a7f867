"""A recorded file through the engine: what becomes of each line, and what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.abandonment.domain.checks import Rejected
from services.abandonment.domain.effects import Effect
from services.abandonment.rehearsal.carts import OutOfOrder, Rehearsal, Settings, UnknownStore
from services.abandonment.rehearsal.recording import (
    Arrived,
    BadLine,
    Heading,
    Lines,
    RecordingError,
    open_lines,
    read_line,
)
from services.abandonment.rehearsal.summary import Summary
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig

SHOWN_REJECTS = 5
PROGRESS_EVERY = 2_000

Progress = Callable[[int], None]
"""Told how many bytes of the file were read."""


@dataclass(slots=True)
class Outcome:
    """What became of a file."""

    records: Counter[str] = field(default_factory=Counter)  # Applied, late, duplicate, ignored.
    rejects: Counter[str] = field(default_factory=Counter)  # By reason.
    first_rejects: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    until: int = 0
    open_imports: int = 0


class Replay:
    """One file through one rehearsal; facts and lines that cannot be used go to their files, where there are any."""

    def __init__(
        self,
        lines: Lines,
        settings: Settings,
        store_id: str,
        until: int | None,
        facts: BinaryIO | None,
        bad: BinaryIO | None,
    ) -> None:
        self._lines = lines
        self._settings = settings
        self._store_id = store_id
        self._until = until
        self._facts = facts
        self._bad = bad
        self._rehearsal = Rehearsal(settings)
        self._outcome = Outcome()
        self._whole_until = 0
        self._last_arrival = 0

    def run(self, progress: Progress) -> Outcome:
        """The whole file, and the silence after it. Raises RecordingError."""
        for line in self._lines:
            if self._lines.number % PROGRESS_EVERY == 0:
                progress(self._lines.position)
            self._line(line)
        progress(self._lines.size)
        told_until = max(self._whole_until, self._last_arrival) if self._until is None else self._until
        self._outcome.until = told_until
        for effect in self._rehearsal.end(told_until):
            self._tell((effect,))
        self._outcome.open_imports = self._rehearsal.held
        return self._outcome

    def _line(self, line: bytes) -> None:
        try:
            found = read_line(line, self._lines.number)
            if type(found) is Arrived:
                self._hear(found)
            elif type(found) is StoreConfig:
                self._settings.add(found)
            elif type(found) is Heading:
                self._whole_until = max(self._whole_until, found.until)
        except (BadLine, Rejected, UnknownStore) as error:
            if self._lines.number == 1 and isinstance(error, BadLine):
                raise RecordingError(f"{self._lines.path}:1: this is no recording: {error}") from None
            self._reject(line, error)
        except OutOfOrder as error:
            raise RecordingError(f"{self._lines.path}:{self._lines.number}: {error}; sort it by `arrival`") from None
        except Exception as error:  # noqa: BLE001 - the service parks what meets a mistake of ours, and goes on
            self._reject(line, error)

    def _hear(self, found: Arrived) -> None:
        of_another = self._store_id and found.activity.store_id != self._store_id
        if of_another or (self._until is not None and found.arrival > self._until):
            self._outcome.records["left out"] += 1
            return
        told = self._rehearsal.hear(found.activity, found.arrival, found.position)
        self._last_arrival = max(self._last_arrival, found.arrival)
        self._outcome.records[told.note.value] += 1
        if told.effects:
            self._tell(told.effects)

    def _tell(self, effects: Iterable[Effect]) -> None:
        self._outcome.summary.add(effects)
        if self._facts:
            self._facts.writelines(fact_line(effect) for effect in effects)

    def _reject(self, line: bytes, error: Exception) -> None:
        reason = "unreadable" if isinstance(error, BadLine) else type(error).__name__
        self._outcome.rejects[reason] += 1
        if len(self._outcome.first_rejects) < SHOWN_REJECTS:
            self._outcome.first_rejects.append(f"{self._lines.path}:{self._lines.number}: {reason}: {error}")
        if self._bad:
            parked = {
                "line": self._lines.number,
                "reason": reason,
                "detail": str(error),
                "record": line.rstrip(b"\n").decode(errors="replace"),
            }
            self._bad.write(msgspec.json.encode(parked) + b"\n")


def fact_line(effect: Effect) -> bytes:
    """A fact as JSON with its `type`. No process tells of it: it counts as fired when it was due."""
    if isinstance(effect, CartAbandoned):
        effect = replace(effect, fired_at=effect.due_at)
    return b'{"type":"%s",%s\n' % (type(effect).__name__.encode(), msgspec.json.encode(effect)[1:])


def read_settings(path: Path, settings: Settings) -> None:
    """Settings alone are asked of such a file: whatever else stands in it is passed over."""
    with open_lines(path) as lines:
        for line in lines:
            try:
                found = read_line(line, lines.number)
            except BadLine as error:
                raise RecordingError(f"{path}:{lines.number}: {error}") from None
            if isinstance(found, StoreConfig):
                settings.add(found)
