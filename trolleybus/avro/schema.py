"""Avro schemas as a small tree; what is not in it is unsupported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PLAIN: Final = frozenset({"string", "bytes", "boolean", "int", "long", "float", "double"})
WIDTH: Final = {"boolean": 1, "float": 4, "double": 8}
"""Bytes of those that always have as many."""
LARGEST: Final = 2000
"""Fields of a schema with its named types written out: more is a mistake, and would make a huge function."""
DEEPEST: Final = 16
"""Records, arrays and maps within each other: as many as Python's own bounds leave room for in a function."""


class Unsupported(ValueError):
    """The schema has a construct that is not specialised for; fastavro may know it."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A single value; a logical type is read and written as what it is stored as."""

    kind: str
    moment: bool = False  # Milliseconds since the epoch: nearly always six bytes.


@dataclass(frozen=True, slots=True)
class Array:
    """Any number of items."""

    items: Type


@dataclass(frozen=True, slots=True)
class Map:
    """Plain values by text."""

    values: Plain


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record; without a default there is none, not even None."""

    name: str
    type: Type
    default: tuple[Any] | None


@dataclass(frozen=True, slots=True)
class RecordType:
    """A record under its full name; the order of fields is the order of bytes."""

    name: str
    fields: tuple[Field, ...]
    aliased: bool

    def field(self, name: str) -> Field | None:
        """The field of that name, if there is one."""
        return next((field for field in self.fields if field.name == name), None)


Type = Plain | Array | Map | RecordType

_FIXED: Final = (Plain("boolean"), Plain("float"), Plain("double"))


def understand(document: Any) -> RecordType:
    """The tree of a record's schema, from its JSON values; raises Unsupported."""
    tree = _Understanding().type(document, "")
    if not isinstance(tree, RecordType):
        raise Unsupported("only records are read and written by themselves")
    if _depth(tree) > DEEPEST:
        raise Unsupported(f"the schema nests too deep: more than {DEEPEST} types within each other")
    return tree


def empty(written: Type) -> bytes:
    """The bytes of a value without content: no text, no items, zero, false."""
    match written:
        case RecordType():
            return b"".join(empty(field.type) for field in written.fields)
        case Plain():
            return bytes(WIDTH.get(written.kind, 1))
    return b"\0"


def _depth(tree: Type) -> int:
    match tree:
        case Array():
            return 1 + _depth(tree.items)
        case Map():
            return 1 + _depth(tree.values)
        case RecordType():
            return 1 + max((_depth(field.type) for field in tree.fields), default=0)
    return 0


class _Understanding:
    def __init__(self) -> None:
        self._named: dict[str, RecordType | None] = {}  # None while its fields are being read.
        self._size: dict[str, int] = {}
        self._fields = 0

    def type(self, document: Any, namespace: str) -> Type:
        if isinstance(document, str):
            return Plain(document) if document in PLAIN else self._reference(_full(document, namespace))
        if not isinstance(document, Mapping):
            raise Unsupported("unions are not specialised for")
        kind = document.get("type")
        match kind:
            case "record":
                return self._record(document, namespace)
            case "array":
                items = self.type(document["items"], namespace)
                if not isinstance(items, Plain) and not _has_length(items):
                    raise Unsupported(
                        "only arrays of plain values and of records with texts or integers are specialised"
                    )
                return Array(items)
            case "map":
                values = self.type(document["values"], namespace)
                if not isinstance(values, Plain):
                    raise Unsupported("only maps of plain values are specialised for")
                return Map(values)
            case str() if kind in PLAIN:
                return Plain(kind, moment=document.get("logicalType") == "timestamp-millis")
            case str():
                raise Unsupported(f"the type {kind!r} is not specialised for")
        return self.type(kind, namespace)

    def _record(self, document: Mapping[str, Any], namespace: str) -> RecordType:
        name = _full(document["name"], document.get("namespace") or namespace)
        self._named[name] = None
        before = self._fields
        within = name.rpartition(".")[0]
        aliased = bool(document.get("aliases"))
        fields = []
        for field in document["fields"]:
            self._count(1)
            default = (field["default"],) if "default" in field else None
            fields.append(Field(field["name"], self.type(field["type"], within), default))
            aliased = aliased or bool(field.get("aliases"))
        record = self._named[name] = RecordType(name, tuple(fields), aliased)
        self._size[name] = self._fields - before
        return record

    def _reference(self, name: str) -> RecordType:
        if name not in self._named:
            raise Unsupported(f"the type {name!r} is not specialised for")
        record = self._named[name]
        if record is None:
            raise Unsupported(f"{name!r} contains itself")
        self._count(self._size[name])
        return record

    def _count(self, fields: int) -> None:
        self._fields += fields
        if self._fields > LARGEST:
            raise Unsupported(f"more than {LARGEST} fields when its types are written out")


def _has_length(items: Type) -> bool:
    """Whether reading or skipping an item looks at its bytes, so that a count that lies ends with them."""
    return isinstance(items, RecordType) and any(
        not isinstance(field.type, RecordType) and field.type not in _FIXED for field in items.fields
    )


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def check_resolution(writer: Type, reader: Type) -> None:
    """Raise Unsupported unless each of the reader's fields stands with the writer under the same name and type,
    or has a default."""
    if isinstance(writer, Array) and isinstance(reader, Array):
        check_resolution(writer.items, reader.items)
    elif isinstance(writer, Map) and isinstance(reader, Map):
        check_resolution(writer.values, reader.values)
    elif isinstance(writer, RecordType) and isinstance(reader, RecordType):
        if writer.name != reader.name or reader.aliased:
            raise Unsupported(f"{writer.name!r} is read as {reader.name!r}, or by another name")
        for field in reader.fields:
            written = writer.field(field.name)
            if written is not None:
                check_resolution(written.type, field.type)
            elif field.default is None:
                raise Unsupported(f"{field.name!r} is not written and has no default")
    elif not (isinstance(writer, Plain) and isinstance(reader, Plain) and _stored(writer) == _stored(reader)):
        raise Unsupported("a value is written as another type than it is read as")


def _stored(plain: Plain) -> str:
    return "long" if plain.kind == "int" else plain.kind
