"""Records to bytes and back: Avro in Confluent framing (a zero byte, the schema's id in four, the body)."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from fastavro import schemaless_reader, schemaless_writer

from trolleybus import schemas
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.registry import NotRegistered, Registry, subject
from trolleybus.topics import Topics

_FRAME = struct.Struct(">bI")
T = TypeVar("T")


class UnreadableRecord(ValueError):
    """The bytes are no record that this installation knows; the text says why."""


class UnknownSchema(LookupError):
    """The schema's id has not been asked of the registry yet."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema {schema_id} is not known yet")
        self.schema_id = schema_id


class NotPrepared(RuntimeError):
    """A record was encoded whose schema was not prepared."""


@dataclass(frozen=True, slots=True)
class _Reader:
    record: type[Record]
    writer_schema: Any
    reader_schema: Any  # None where both are the same.


class Codec:
    """Encodes records under the ids that the registry gave; decodes those of any registered version."""

    def __init__(self, registry: Registry, topics: Topics) -> None:
        self._registry = registry
        self._topics = topics
        self._writers: dict[type[Record], tuple[bytes, Any]] = {}
        self._readers: dict[int, _Reader | str] = {}

    async def prepare(self, *kinds: type[Record]) -> None:
        """Ask the registry for the ids of records to be written. Never registers: that is `trolleybus topics apply`."""
        for kind in kinds:
            name = kind.__name__
            topic = self._topics.of(kind)
            try:
                schema_id = await self._registry.id_of(subject(topic, name), schemas.source(name))
            except NotRegistered:
                raise NotRegistered(
                    f"the schema of {name} is not registered for {topic.full_name}: run `trolleybus topics apply`"
                ) from None
            schema = local_schema(name)
            self._writers[kind] = (_FRAME.pack(0, schema_id), schema)
            self._readers[schema_id] = _Reader(kind, schema, None)

    def encode(self, record: Record) -> bytes:
        """The record's bytes; prepare() must have been called for its kind."""
        try:
            frame, schema = self._writers[type(record)]
        except KeyError:
            raise NotPrepared(f"the codec was not prepared for {type(record).__name__}") from None
        buffer = io.BytesIO()
        buffer.write(frame)
        schemaless_writer(buffer, schema, to_dict(record))
        return buffer.getvalue()

    async def decode(self, data: bytes | None) -> Record:
        """The record in the bytes, in the newest version known here; raises UnreadableRecord."""
        while True:
            try:
                return self.decode_known(data)
            except UnknownSchema as unknown:
                await self.learn(unknown.schema_id)

    def decode_known(self, data: bytes | None) -> Record:
        """As decode, without asking the registry: raises UnknownSchema for an id not met before."""
        record, values = self.decode_dict(data)
        return from_dict(record, values)

    def decode_dict(self, data: bytes | None) -> tuple[type[Record], dict[str, Any]]:
        """The kind of record and its plain values."""
        if data is None:
            raise UnreadableRecord("a tombstone stands where a record was expected")
        if len(data) < _FRAME.size:
            raise UnreadableRecord(f"{len(data)} bytes are too few for a registry frame")
        magic, schema_id = _FRAME.unpack_from(data)
        if magic != 0:
            raise UnreadableRecord(f"the first byte is {magic}, not the registry frame's zero")
        reader = self._readers.get(schema_id)
        if reader is None:
            raise UnknownSchema(schema_id)
        if isinstance(reader, str):
            raise UnreadableRecord(reader)
        body = io.BytesIO(data)
        body.seek(_FRAME.size)
        try:
            values = schemaless_reader(body, reader.writer_schema, reader.reader_schema)
        except Exception as error:  # fastavro raises whatever its parsing meets on bad bytes
            raise UnreadableRecord(f"the body does not follow schema {schema_id}: {error!r}") from error
        if body.tell() != len(data):
            raise UnreadableRecord(f"{len(data) - body.tell()} bytes are left after the record of schema {schema_id}")
        return reader.record, cast(dict[str, Any], values)

    async def learn(self, schema_id: int) -> None:
        """Ask the registry for a schema by its id and keep the answer."""
        try:
            text = await self._registry.schema_of(schema_id)
        except NotRegistered:
            # Not kept: it may be registered by the time of a later try.
            raise UnreadableRecord(f"the registry knows no schema {schema_id}") from None
        document = json.loads(text)
        named = document if isinstance(document, dict) else {}
        namespace, name = named.get("namespace", ""), named.get("name", "")
        record = RECORDS.get(name) if namespace == "trolleybus" else None
        if record is None:
            self._readers[schema_id] = f"schema {schema_id} is of {namespace}.{name}, which no topic of ours carries"
            return
        writer = schemas.parse(text)
        self._readers[schema_id] = _Reader(record, writer, local_schema(name))


@cache
def local_schema(record: str) -> Any:
    """The newest schema of a record in this code, parsed."""
    return schemas.parse(schemas.source(record))


def to_dict(record: Any) -> dict[str, Any]:
    """A record's plain values, nested records included."""
    kind: Any = type(record)
    return _unpacker(kind)(record)


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """A record of its plain values."""
    hashable: Any = kind
    return cast(T, _packer(hashable)(values))


@cache
def _unpacker(kind: Any) -> Callable[[Any], dict[str, Any]]:
    hints = get_type_hints(kind)
    names = [(item.name, _nested(hints[item.name])) for item in fields(kind)]
    flat = tuple(name for name, nested in names if nested is None)
    deep = tuple((name, nested[0], nested[1]) for name, nested in names if nested is not None)

    def unpack(record: Any) -> dict[str, Any]:
        values = {name: getattr(record, name) for name in flat}
        for name, inner, many in deep:
            value = getattr(record, name)
            convert = _unpacker(inner)
            values[name] = [convert(item) for item in value] if many else convert(value)
        return values

    return unpack


@cache
def _packer(kind: Any) -> Callable[[dict[str, Any]], Any]:
    hints = get_type_hints(kind)
    sequences = tuple(item.name for item in fields(kind) if get_origin(hints[item.name]) is tuple)
    deep = tuple(
        (item.name, nested[0], nested[1]) for item in fields(kind) if (nested := _nested(hints[item.name])) is not None
    )

    def pack(values: dict[str, Any]) -> Any:
        for name, inner, many in deep:
            convert = _packer(inner)
            values[name] = [convert(item) for item in values[name]] if many else convert(values[name])
        for name in sequences:
            values[name] = tuple(values[name])
        return kind(**values)

    return pack


def _nested(hint: Any) -> tuple[Any, bool] | None:
    """The nested record of a field's type, and whether there are many of it; None for plain values."""
    if is_dataclass(hint):
        return hint, False
    arguments = get_args(hint)
    if get_origin(hint) is tuple and is_dataclass(arguments[0]):
        return arguments[0], True
    return None
