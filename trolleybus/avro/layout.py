"""Where values stand in a record's bytes, for who writes them without an object of theirs: the bytes between them are constant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from trolleybus.avro.schema import Array, Plain, RecordType, empty, understand


@dataclass(frozen=True, slots=True)
class Place:
    """A value: the constant bytes before it; its path ("unit_price.minor"); the kind of Avro's plain types, or "array" for one
    of plain values, or "each" for one of records, whose own layout is `items`."""

    before: bytes
    path: str
    kind: str
    items: Layout | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A record's places in the order of its bytes, and the constant bytes after the last."""

    places: tuple[Place, ...]
    tail: bytes


def layout(schema: Any, paths: Collection[str], prefix: bytes = b"") -> Layout:
    """The places of values; a path into an array's records goes through its name ("lines.name"). What is not named is empty.

    Raises LookupError for a path that the schema does not have, Unsupported as schema.understand.
    """
    found = _of(understand(schema), "", paths, prefix)
    unknown = {*paths} - {*_paths(found)}
    if unknown:
        raise LookupError(f"the schema has no plain value at {', '.join(sorted(unknown))}")
    return found


def _of(record: RecordType, at: str, paths: Collection[str], prefix: bytes) -> Layout:
    places: list[Place] = []
    between = prefix
    for field in record.fields:
        path = f"{at}{field.name}"
        is_on_the_way = any(one.startswith(f"{path}.") for one in paths)
        match field.type:
            case Plain(kind) if path in paths:
                places.append(Place(between, path, kind))
            case Array(Plain()) if path in paths:
                places.append(Place(between, path, "array"))
            case Array(RecordType() as items) if is_on_the_way:
                places.append(Place(between, path, "each", _of(items, f"{path}.", paths, b"")))
            case RecordType() as inner if is_on_the_way:
                within = _of(inner, f"{path}.", paths, between)
                places += within.places
                between = within.tail
                continue
            case _:
                between += empty(field.type)
                continue
        between = b""
    return Layout(tuple(places), between)


def _paths(layout: Layout) -> list[str]:
    return [path for one in layout.places for path in (one.path, *(_paths(one.items) if one.items else ()))]
