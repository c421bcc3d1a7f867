"""How far an import has come, beside its file, so that the same command goes on after any end."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from services.ingest.domain.translation import Flaw

_HEAD = 65_536


class NotTheSame(Exception):
    """A journal is there, but of another import; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What Kafka has acknowledged. `file` tells one file from another; `rejects_bytes` is how long the rejects are."""

    store: str
    format: str
    file: str
    line: int = 0
    lines: int = 0
    records: int = 0
    rejects: int = 0
    rejects_bytes: int = 0
    is_ended: bool = False


class Journal:
    """FILE.import.json and FILE.rejects.jsonl."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = path.with_name(f"{path.name}.import.json")
        self.rejects = path.with_name(f"{path.name}.rejects.jsonl")

    def begin(self, store: str, format_: str) -> Progress:
        """Where the import stands; rejects of lines that are read again are forgotten."""
        fresh = Progress(store=store, format=format_, file=_fingerprint(self._path))
        found = self._read()
        if found is None:
            self.rejects.unlink(missing_ok=True)
            return fresh
        if (found.store, found.format, found.file) != (fresh.store, fresh.format, fresh.file):
            raise NotTheSame(
                f"{self.place} is of another import (store {found.store}, format {found.format}, or another content of "
                f"{self._path.name}): delete it to begin anew"
            )
        if self.rejects.exists():
            os.truncate(self.rejects, found.rejects_bytes)
        return found

    def keep(self, progress: Progress, rejected: Sequence[tuple[int, Sequence[Flaw]]]) -> Progress:
        """Write the rejects, then the progress in one piece; returns it with the rejects counted."""
        if rejected:
            with self.rejects.open("ab") as file:
                for line, flaws in rejected:
                    errors = [{"field": flaw.field, "detail": flaw.detail} for flaw in flaws]
                    file.write(json.dumps({"line": line, "errors": errors}).encode() + b"\n")
                file.flush()
                progress = replace(
                    progress, rejects=progress.rejects + len(rejected), rejects_bytes=os.fstat(file.fileno()).st_size
                )
        new = self.place.with_name(f"{self.place.name}.new")
        new.write_text(json.dumps(asdict(progress)))
        new.replace(self.place)
        return progress

    def _read(self) -> Progress | None:
        if not self.place.exists():
            return None
        try:
            return Progress(**json.loads(self.place.read_text()))
        except (ValueError, TypeError):
            raise NotTheSame(f"{self.place} cannot be read: delete it to begin anew") from None


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return f"{path.stat().st_size}:{sha256(file.read(_HEAD)).hexdigest()[:16]}"
