"""Records to bytes and back: Avro in Confluent framing (a zero byte, the schema's id in four, the body)."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

from fastavro import schemaless_reader, schemaless_writer

from trolleybus import schemas
from trolleybus.avro import (
    BAD_BYTES,
    Names,
    Shape,
    Unsupported,
    compile_reader,
    compile_template,
    compile_writer,
    shape_of,
)
from trolleybus.avro.layout import Layout, layout
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
class _Written:
    """A registered schema of one of our records."""

    record: type[Record]
    text: str


class Codec:
    """Encodes records under the ids that the registry gave; decodes those of any registered version."""

    def __init__(self, registry: Registry, topics: Topics) -> None:
        self._registry = registry
        self._topics = topics
        self._writers: dict[type[Record], Callable[[Any], bytes]] = {}
        self._frames: dict[type[Record], bytes] = {}
        self._known: dict[int, _Written | str] = {}
        self._records: Projection[Record] = Projection(self._known, shape_of)

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
            self._frames[kind] = _FRAME.pack(0, schema_id)
            self._writers[kind] = _writer(name, self._frames[kind])
            self._known[schema_id] = _Written(kind, schemas.source(name))

    def encode(self, record: Record) -> bytes:
        """The record's bytes; prepare() must have been called for its kind."""
        try:
            write = self._writers[type(record)]
        except KeyError:
            raise NotPrepared(f"the codec was not prepared for {type(record).__name__}") from None
        return write(record)

    def template(self, kind: type[Record], names: Names) -> Callable[[tuple[Any, ...]], bytes]:
        """As encode, for records of a kind whose named values are at hand in a tuple, and all else is empty."""
        schema = json.loads(schemas.source(kind.__name__))
        write: Callable[[tuple[Any, ...]], bytes] | None = None

        def encode(values: tuple[Any, ...]) -> bytes:
            nonlocal write
            if write is None:
                if kind not in self._frames:
                    raise NotPrepared(f"the codec was not prepared for {kind.__name__}")
                write = compile_template(schema, names, self._frames[kind])
            return write(values)

        return encode

    def layout(self, kind: type[Record], paths: Collection[str]) -> Layout:
        """Where the values at these paths stand in a kind's bytes; as encode, prepare() must have been called."""
        if kind not in self._frames:
            raise NotPrepared(f"the codec was not prepared for {kind.__name__}")
        return layout(json.loads(schemas.source(kind.__name__)), paths, self._frames[kind])

    async def decode(self, data: bytes | None) -> Record:
        """The record in the bytes, in the newest version known here; raises UnreadableRecord."""
        while True:
            try:
                return self.decode_known(data)
            except UnknownSchema as unknown:
                await self.learn(unknown.schema_id)

    def decode_known(self, data: bytes | None) -> Record:
        """As decode, without asking the registry: raises UnknownSchema for an id not met before."""
        return self._records.read(data)

    def project(self, kind: type[Record], shape: Shape[T]) -> Projection[T]:
        """A reader of one kind of record straight into a shape; it knows what the codec knows and learns.

        Raises LookupError for a shape that the record has no fields for.
        """
        _compiled(kind.__name__, schemas.source(kind.__name__), shape)

        def shape_for(record: type[Record]) -> Shape[T]:
            if record is not kind:
                raise UnreadableRecord(f"a {record.__name__} stands where a {kind.__name__} was expected")
            return shape

        return Projection(self._known, shape_for)

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
            self._known[schema_id] = f"schema {schema_id} is of {namespace}.{name}, which no topic of ours carries"
            return
        schemas.parse(text)  # Raises for what is no schema.
        self._known[schema_id] = _Written(record, text)


class Projection(Generic[T]):
    """Reads records of the schemas that its codec knows into objects of its shapes."""

    def __init__(self, known: dict[int, _Written | str], shape_for: Callable[[type[Record]], Shape[T]]) -> None:
        self._known = known
        self._shape_for = shape_for
        self._readers: dict[bytes, _Read[T]] = {}  # By the whole frame: one look for a record.

    def read(self, data: bytes | None) -> T:
        """The object of a record's bytes; raises UnreadableRecord, UnknownSchema for an id the codec must learn."""
        if data is None:
            raise UnreadableRecord("a tombstone stands where a record was expected")
        frame = data[:5]
        read = self._readers.get(frame)
        if read is None:
            read = self._readers[frame] = self._reader(frame)
        try:
            value, end = read(data, 5)
        except BAD_BYTES as error:
            raise UnreadableRecord(f"the body does not follow schema {_FRAME.unpack(frame)[1]}: {error!r}") from error
        if end != len(data):
            raise UnreadableRecord(
                f"the record of schema {_FRAME.unpack(frame)[1]} ends at byte {end}, the bytes at {len(data)}"
            )
        return value

    def _reader(self, frame: bytes) -> _Read[T]:
        if len(frame) < _FRAME.size:
            raise UnreadableRecord(f"{len(frame)} bytes are too few for a registry frame")
        magic, schema_id = _FRAME.unpack(frame)
        if magic != 0:
            raise UnreadableRecord(f"the first byte is {magic}, not the registry frame's zero")
        written = self._known.get(schema_id)
        if written is None:
            raise UnknownSchema(schema_id)
        if isinstance(written, str):
            raise UnreadableRecord(written)
        return _compiled(written.record.__name__, written.text, self._shape_for(written.record))


_Read = Callable[[bytes, int], tuple[T, int]]


@lru_cache(maxsize=256)  # Codecs of one process share what was compiled.
def _compiled(name: str, text: str, shape: Shape[T]) -> _Read[T]:
    ours = schemas.source(name)
    try:
        return compile_reader(json.loads(text), shape, json.loads(ours))
    except Unsupported:
        return _by_fastavro(schemas.parse(text), local_schema(name), shape)


def _by_fastavro(written: Any, ours: Any, shape: Shape[T]) -> _Read[T]:
    """Reads any schema, by way of a dictionary."""

    def read(data: bytes, start: int) -> tuple[T, int]:
        body = io.BytesIO(data)
        body.seek(start)
        try:
            values = schemaless_reader(body, written, ours)
        except Exception as error:  # fastavro raises whatever its parsing meets on bad bytes
            raise ValueError(repr(error)) from error
        return shape.of_values(cast(dict[str, Any], values)), body.tell()

    return read


@lru_cache(maxsize=256)
def _writer(name: str, frame: bytes) -> Callable[[Any], bytes]:
    try:
        return compile_writer(json.loads(schemas.source(name)), frame)
    except Unsupported:
        schema = local_schema(name)

    def write(record: Any) -> bytes:
        buffer = io.BytesIO()
        buffer.write(frame)
        schemaless_writer(buffer, schema, to_dict(record))
        return buffer.getvalue()

    return write


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
            if name in values:
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
