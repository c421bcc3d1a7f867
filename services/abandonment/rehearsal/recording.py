"""The file of a recorded log: JSON lines, gzip-compressed or not. docs/guides/rehearsals.md describes it.

Each line is one object, of the kind that `type` names: CartActivity (also where it is absent) and StoreConfig with the
fields of the contracts, and Recording, which tells up to when the log is whole. Absent fields are empty; fields that
are not known here are passed over.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import msgspec

from services.abandonment.domain.activity import Activity, activity_of
from services.abandonment.domain.state import Position
from trolleybus.codec import to_dict
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig

GZIP = b"\x1f\x8b"
NO_PARTITION = -1
"""Of records whose place on Kafka is not known: they have their line's number as offset."""


class RecordingError(Exception):
    """The file as a whole cannot be read; the text names it and the line."""


class BadLine(ValueError):
    """One line is no record; the text says why."""


class Heading(msgspec.Struct, frozen=True, gc=False):
    """Up to when (ms) the log is whole: what was due by then and is not told was not due."""

    until: int = 0


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A record of cart.activity, when it arrived there (ms) and where it stood."""

    activity: Activity
    arrival: int
    position: Position


class _Kind(msgspec.Struct, frozen=True, gc=False):
    type: str = "CartActivity"
    arrival: int = 0  # The append time of a record on Kafka.
    partition: int = NO_PARTITION
    offset: int = NO_PARTITION


def _mirror(kind: Any) -> type[msgspec.Struct]:
    """A struct with a contract's fields: msgspec reads one five times as fast as it reads the contract's class."""
    hints = get_type_hints(kind)
    defaults = {item.name: item.default for item in fields(kind)}
    mirrored: list[tuple[str, Any, Any]] = []
    for name, hint in hints.items():
        inner = get_args(hint)
        if is_dataclass(hint):
            own = _mirror(hint)
            mirrored.append((name, own, own()))
        elif inner and is_dataclass(inner[0]):
            many: Any = _mirror(inner[0])
            mirrored.append((name, tuple[many, ...], ()))
        else:
            mirrored.append((name, hint, defaults[name]))
    return msgspec.defstruct(kind.__name__, mirrored, frozen=True, gc=False)


_kind = msgspec.json.Decoder(_Kind).decode
_activity = msgspec.json.Decoder(_mirror(CartActivity)).decode
_config = msgspec.json.Decoder(StoreConfig).decode
_heading = msgspec.json.Decoder(Heading).decode


def read_line(line: bytes, number: int) -> Arrived | StoreConfig | Heading:
    """What stands in a line; raises BadLine."""
    try:
        kind = _kind(line)
        match kind.type:
            case "CartActivity":
                return _arrived(cast(CartActivity, _activity(line)), kind, number)
            case "StoreConfig":
                return _config(line)
            case "Recording":
                return _heading(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLine(str(error)) from None
    raise BadLine(f"a {kind.type[:40]!r} is no record of a recording")


def _arrived(record: CartActivity, kind: _Kind, number: int) -> Arrived:
    """Imported records carry their historic arrival; of others that were not recorded it is the gateway's."""
    told = record.received_at or record.occurred_at
    arrival = told if record.imported or not kind.arrival else kind.arrival
    known = kind.partition >= 0 and kind.offset >= 0
    position = Position(kind.partition, kind.offset) if known else Position(NO_PARTITION, number)
    return Arrived(activity_of(record), arrival, position)


def record_line(record: CartActivity, partition: int, offset: int, arrival: int) -> bytes:
    """The line of a record that stood there and arrived then."""
    place = {"type": "CartActivity", "arrival": arrival, "partition": partition, "offset": offset}
    return _line({**place, **_told(to_dict(record))})


def settings_line(config: StoreConfig) -> bytes:
    """The line of a store's setting, without the hashes of its keys."""
    return _line({"type": "StoreConfig", **_told({**to_dict(config), "keys": []})})


def heading_line(heading: Heading) -> bytes:
    return _line({"type": "Recording", "until": heading.until})


def _line(values: dict[str, Any]) -> bytes:
    return msgspec.json.encode(values) + b"\n"


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty; False stays out too, as every default of these records but two is empty."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            value = _told(value)  # noqa: PLW2901 - the same value, smaller
        elif isinstance(value, list):
            value = [_told(item) if isinstance(item, dict) else item for item in value]  # noqa: PLW2901 - so here
        if value or name in _NOT_EMPTY_BY_DEFAULT:
            kept[name] = value
    return kept


_NOT_EMPTY_BY_DEFAULT = frozenset({"active", "expiry_seconds", "email_consent_basis"})


class Lines:
    """The lines of a file with their numbers, and how far in it (bytes) the reading is."""

    def __init__(self, path: Path, raw: BufferedReader, source: Iterable[bytes]) -> None:
        self.path = path
        self.number = 0
        self.size = os.fstat(raw.fileno()).st_size
        self._raw = raw
        self._source = source

    @property
    def position(self) -> int:
        return self._raw.tell()

    def __iter__(self) -> Iterator[bytes]:
        """Each line that is not blank. Raises RecordingError where the file cannot be read on."""
        try:
            for line in self._source:
                self.number += 1
                if not line.isspace():
                    yield line
        except (EOFError, zlib.error, OSError) as error:
            raise RecordingError(f"{self.path}:{self.number + 1}: the file cannot be read on: {error}") from error


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    """Raises RecordingError."""
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            is_gzip = raw.peek(2)[:2] == GZIP
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
        yield Lines(path, raw, stack.enter_context(gzip.open(raw)) if is_gzip else raw)
