"""The twins of `reader` and `writer` where the machine is built: a schema becomes a program that C executes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from trolleybus.avro.machine import Filling, Reading, Writing
from trolleybus.avro.schema import WIDTH, Array, Map, Plain, RecordType, Type, empty, understand
from trolleybus.avro.shape import Names, Shape, places
from trolleybus.avro.steps import plan, resolved

T = TypeVar("T")

_NO_SLOT: Final = -1
_Row = tuple[str, int, int, Any]


def compile_reader(schema: Any, shape: Shape[T], local: Any = None) -> Callable[[bytes, int], tuple[T, int]]:
    """As `reader.compile_reader`; bytes that end too early are always an error, never an end behind theirs."""
    return _record(*resolved(schema, local), shape).read


def compile_writer(schema: Any, prefix: bytes = b"") -> Callable[[Any], bytes]:
    """As `writer.compile_writer`."""
    return Writing(_fields(understand(schema)), prefix).write


def compile_template(schema: Any, names: Names, prefix: bytes = b"") -> Callable[[tuple[Any, ...]], bytes]:
    """As `writer.compile_template`."""
    return _template(understand(schema), names, prefix).write


def _template(record: RecordType, names: Names, prefix: bytes = b"") -> Filling:
    wanted = places(record, names)
    rows, between = [], prefix
    for field in record.fields:
        if field.name not in wanted:
            between += empty(field.type)
            continue
        place, inner = wanted[field.name]
        kind, _, program = ("each", "", _template(*inner)) if inner else _written("", field.type)
        rows.append((kind, place, between, program))
        between = b""
    return Filling(rows, between, len(wanted))


def _record(writer: RecordType, ours: RecordType, shape: Shape[Any] | None) -> Reading:
    steps, constants, makers, make, arguments = plan(writer, ours, shape)
    slots = {path: slot for slot, path in reversed([*enumerate(arguments)])}
    rows: list[_Row] = []
    for step in steps:
        if step.path is None:
            rows += _skipped(step.written)
        else:
            rows.append(_wanted(slots[step.path], step.written, step.ours, step.shape))
    rows += [("constant", slots[path], 0, value) for path, value in constants.items()]
    rows += [("call", slots[path], 0, maker) for path, maker in makers.items()]
    rows += [("again", slot, slots[path], None) for slot, path in enumerate(arguments) if slots[path] != slot]
    return Reading(make, len(arguments), rows)


def _wanted(slot: int, writer: Type, ours: Type, shape: Shape[Any] | None) -> _Row:
    match writer, ours:
        case RecordType(), RecordType():
            return "record", slot, 0, _record(writer, ours, shape)
        case Array(RecordType() as theirs), Array(RecordType() as known):
            return "array", slot, 0, _record(theirs, known, shape)
        case Array(), Array():
            return "array", slot, 0, Reading(None, 1, [_wanted(0, writer.items, ours.items, shape)])
        case Map(), _:
            return "map", slot, 0, Reading(None, 1, [_wanted(0, writer.values, writer.values, None)])
        case Plain(), _:
            return writer.kind, slot, 0, None
    raise TypeError(f"{writer} was not resolved with {ours}")


def _skipped(written: Type) -> list[_Row]:
    match written:
        case RecordType():
            return [row for field in written.fields for row in _skipped(field.type)]
        case Array():
            return [("skip_items", _NO_SLOT, 0, Reading(None, 0, _skipped(written.items)))]
        case Map():
            entry = [*_skipped(Plain("string")), *_skipped(written.values)]
            return [("skip_items", _NO_SLOT, 0, Reading(None, 0, entry))]
        case Plain("string" | "bytes"):
            return [("skip_span", _NO_SLOT, 0, None)]
        case Plain("int" | "long"):
            return [("skip_long", _NO_SLOT, 0, None)]
    return [("skip_fixed", _NO_SLOT, WIDTH[written.kind], None)]


def _fields(record: RecordType) -> list[tuple[str, str, Any]]:
    return [_written(field.name, field.type) for field in record.fields]


def _written(name: str, written: Type) -> tuple[str, str, Any]:
    name = sys.intern(name)  # Attributes are found by the name's identity first.
    match written:
        case RecordType():
            return "record", name, Writing(_fields(written))
        case Array():
            return "array", name, Writing([_written("", written.items)])
        case Map():
            return "map", name, Writing([_written("", written.values)])
    return written.kind, name, None
