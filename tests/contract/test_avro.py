"""Our own reading and writing of Avro against two libraries: fastavro, which it replaces, and avro."""

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.avro_twins import Twin, twin
from tests.contract.any_record import KINDS, RECORD, RegistryInMemory, prepared, values_of
from trolleybus import codec as codec_module
from trolleybus import schemas
from trolleybus.avro import Shape, shape_of
from trolleybus.codec import Codec, UnknownSchema, UnreadableRecord, from_dict, local_schema, to_dict
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.contracts.stores import StoreConfig
from trolleybus.topics import Topics

__all__ = ["twin"]


@pytest.fixture(scope="module", autouse=True)
def used(twin: Twin) -> Iterator[None]:
    """Codecs use that twin, and none keeps what the other made."""
    kept = (codec_module._compiled, codec_module._writer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec_module, "compile_reader", twin.compile_reader)
        patch.setattr(codec_module, "compile_writer", twin.compile_writer)
        for cached in kept:
            cached.cache_clear()
        yield
    for cached in kept:
        cached.cache_clear()


ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plain_schema(name: str) -> Any:
    return schemas.plain(json.loads(schemas.source(name)))


def by_fastavro(record: Record) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, local_schema(type(record).__name__), to_dict(record))
    return buffer.getvalue()


def read_by_fastavro(kind: type[Record], body: bytes, written: Any = None) -> Record:
    buffer = io.BytesIO(body)
    local = local_schema(kind.__name__)
    values: Any = fastavro.schemaless_reader(buffer, written or local, local)
    assert buffer.tell() == len(body)
    return from_dict(kind, values)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_has_functions_of_its_own(twin: Twin, kind: type[Record]) -> None:
    schema = json.loads(schemas.source(kind.__name__))
    write = twin.compile_writer(schema)
    read = twin.compile_reader(schema, shape_of(kind))
    body = by_fastavro(kind())
    assert write(kind()) == body
    assert read(body, 0) == (kind(), len(body))


@given(record=RECORD)
@ANY
async def test_we_write_the_very_bytes_that_fastavro_writes(record: Record) -> None:
    codec = await prepared(type(record))
    assert codec.encode(record)[5:] == by_fastavro(record)


@given(record=RECORD)
@ANY
async def test_we_read_what_fastavro_and_avro_write(record: Record) -> None:
    codec = await prepared(type(record))
    frame = codec.encode(record)[:5]
    assert codec.decode_known(frame + by_fastavro(record)) == record
    buffer = io.BytesIO()
    schema = avro.schema.parse(json.dumps(plain_schema(type(record).__name__)))
    avro.io.DatumWriter(schema).write(json.loads(json.dumps(to_dict(record))), avro.io.BinaryEncoder(buffer))
    assert codec.decode_known(frame + buffer.getvalue()) == record


@given(data=st.data(), record=RECORD)
@ANY
async def test_P8_of_a_record_cut_anywhere_nothing_is_read(data: st.DataObject, record: Record) -> None:
    codec = await prepared(type(record))
    whole = codec.encode(record)
    with pytest.raises(UnreadableRecord):
        codec.decode_known(whole[: data.draw(st.integers(5, len(whole) - 1))])


BYTE = st.sampled_from([0, 1, 2, 3, 127, 128, 129, 254, 255]) | st.integers(0, 255)
CHANGE = BYTE.map(lambda byte: bytes([byte])) | st.lists(BYTE, max_size=3).map(bytes)


@given(data=st.data(), record=RECORD)
@settings(ANY, max_examples=200)
async def test_P8_changed_bytes_are_unreadable_or_say_what_fastavro_reads(data: st.DataObject, record: Record) -> None:
    kind = type(record)
    codec = await prepared(kind)
    broken = bytearray(codec.encode(record))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(5, len(broken) - 1))
        broken[at : at + 1] = data.draw(CHANGE)
        broken += b"\0" * (len(broken) == 5)
    try:
        read = codec.decode_known(bytes(broken))
    except UnreadableRecord:
        return
    # By text: a double that is no number equals nothing.
    assert repr(read) == repr(read_by_fastavro(kind, bytes(broken[5:])))


EXTRA: list[tuple[Any, Any]] = [
    ("string", "x"),
    ("long", -70),
    ("boolean", True),
    ("double", 0.5),
    ("float", 0.5),
    ("bytes", b"\xff\0"),
    ({"type": "array", "items": "string"}, ["", "y" * 70]),
    ({"type": "array", "items": "double"}, [1.0, 2.0]),
    ({"type": "array", "items": {"type": "array", "items": "long"}}, [[1], [2, 3]]),  # Left to fastavro.
    ({"type": "map", "values": "long"}, {"a": 1}),
    (["null", "string"], None),  # Left to fastavro.
    ({"type": "enum", "name": "Colour", "symbols": ["red", "blue"]}, "blue"),  # Left to fastavro.
    ("trolleybus.Nothing", {}),
]
NOTHING = {"type": "record", "name": "Nothing", "namespace": "trolleybus", "fields": []}


def without_default(extra: tuple[Any, Any]) -> tuple[Any, Any]:
    return (NOTHING, extra[1]) if extra[0] == "trolleybus.Nothing" else extra


@given(data=st.data(), record=RECORD)
@settings(ANY, max_examples=80)
async def test_a_writer_with_other_fields_is_understood_as_fastavro_does(data: st.DataObject, record: Record) -> None:
    kind = type(record)
    schema = json.loads(schemas.source(kind.__name__))
    values = to_dict(record)
    for name in data.draw(st.sets(st.sampled_from([field["name"] for field in schema["fields"]]), max_size=5)):
        field = next(field for field in schema["fields"] if field["name"] == name)
        if isinstance(field["type"], str) or field["type"]["type"] in ("long", "map"):  # Others may define a type.
            schema["fields"].remove(field)
    for number, (written, value) in enumerate(data.draw(st.lists(st.sampled_from(EXTRA), max_size=3, unique_by=str))):
        name = f"extra{number}"
        place = data.draw(st.integers(0, len(schema["fields"])))
        schema["fields"].insert(place, {"name": name, "type": without_default((written, value))[0]})
        values[name] = value
    await same_as_fastavro(kind, schema, values)


async def test_a_nested_record_of_another_version_is_understood_as_fastavro_does() -> None:
    schema = json.loads(schemas.source("CartActivity"))
    line = next(field for field in schema["fields"] if field["name"] == "lines")["type"]["items"]
    line["fields"] = [field for field in line["fields"] if field["name"] not in ("product_id", "price_rounded")]
    money = next(field for field in line["fields"] if field["name"] == "unit_price")["type"]
    money["fields"] = [{"name": "exact", "type": "double"}, {"name": "minor", "type": "int"}]
    values = to_dict(CartActivity(id="1", lines=(CartLine(line_id="a"), CartLine(quantity=2)), total=Money(minor=7)))
    for holder in (values, *values["lines"]):
        for amount in ("unit_price", "discount", "total"):
            if amount in holder:
                holder[amount]["exact"] = 1.5
    await same_as_fastavro(CartActivity, schema, values)


async def same_as_fastavro(kind: type[Record], schema: Any, values: Any) -> None:
    registry = RegistryInMemory()
    codec = Codec(registry, Topics.load())  # type: ignore[arg-type]
    schema_id = await registry.id_of("any", json.dumps(schema))
    parsed = schemas.parse(json.dumps(schema))
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed, values)
    body = buffer.getvalue()
    assert await codec.decode(b"\0" + schema_id.to_bytes(4, "big") + body) == read_by_fastavro(kind, body, parsed)


@given(data=st.data())
@ANY
async def test_blocks_with_their_size_are_read_as_fastavro_reads_them(data: st.DataObject) -> None:
    integer = avro.io.BinaryEncoder
    marks = data.draw(st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=3), max_size=3))
    buffer = io.BytesIO()
    encoder = integer(buffer)
    for block in marks:
        inner = io.BytesIO()
        for mark in block:
            integer(inner).write_utf8(mark)
        if data.draw(st.booleans()):
            encoder.write_long(-len(block))
            encoder.write_long(len(inner.getvalue()))
        else:
            encoder.write_long(len(block))
        buffer.write(inner.getvalue())
    encoder.write_long(0)
    whole = by_fastavro(CartActivity(id="x", marks=("here",)))
    body = whole.replace(b"\x02\x08here\0", buffer.getvalue())
    codec = await prepared(CartActivity)
    frame = codec.encode(CartActivity())[:5]
    expected = CartActivity(id="x", marks=tuple(mark for block in marks for mark in block))
    assert codec.decode_known(frame + body) == read_by_fastavro(CartActivity, body) == expected


class Line(NamedTuple):
    name: str
    minor: int
    rounded: bool


class Seen(NamedTuple):
    total: str
    lines: tuple[Line, ...]
    marks: tuple[str, ...]
    price: Money
    occurred_at: int


SEEN: Shape[Seen] = Shape(
    Seen,
    (
        "total.currency",
        ("lines", Shape(Line, ("name", "unit_price.minor", "price_rounded"))),
        "marks",
        ("discount", shape_of(Money)),
        "occurred_at",
    ),
)


def seen(record: CartActivity) -> Seen:
    return Seen(
        record.total.currency,
        tuple(Line(line.name, line.unit_price.minor, line.price_rounded) for line in record.lines),
        record.marks,
        record.discount,
        record.occurred_at,
    )


@given(record=values_of(CartActivity))
@ANY
async def test_a_projection_has_the_fields_of_the_whole_record(record: CartActivity) -> None:
    codec = await prepared(CartActivity)
    projected = codec.project(CartActivity, SEEN).read(codec.encode(record))
    assert projected == seen(record)
    assert isinstance(projected.lines, tuple)


@pytest.mark.parametrize(
    "changed",
    [
        {"discount": Money(minor=-1)},
        {"discount": Money(currency="EUR")},
        {"step": "payment"},
        {"total": Money(minor=300)},
        {"total": Money(currency="EUR")},
        {"cart_url": "https://shop.example.com/" + "x" * 60},
        {"time_zone": "Europe/Madrid"},
        {"lines": (CartLine(brand="Étoile"), CartLine(discount=Money(minor=5)), CartLine(price_rounded=True))},
    ],
    ids=str,
)
async def test_one_field_that_is_not_empty_among_the_last_is_seen(changed: dict[str, Any]) -> None:
    codec = await prepared(CartActivity)
    leaves = ("discount.minor", "discount.currency", "step", "total.minor", "total.currency", "cart_url", "time_zone")
    line = Shape(lambda *found: found, ("discount.minor", "discount.currency", "url", "brand", "price_rounded"))
    shape = Shape(lambda *found: found, (*leaves, ("lines", line)))
    record = CartActivity(id="1", **changed)
    assert codec.project(CartActivity, shape).read(codec.encode(record)) == shape.of_values(to_dict(record))


async def test_a_projection_refuses_what_decoding_refuses_and_other_records() -> None:
    codec = await prepared(CartActivity, StoreConfig)
    projection = codec.project(CartActivity, SEEN)
    with pytest.raises(UnreadableRecord, match="tombstone"):
        projection.read(None)
    with pytest.raises(UnreadableRecord, match="3 bytes"):
        projection.read(b"\0\0\0")
    with pytest.raises(UnreadableRecord, match="first byte is 7"):
        projection.read(b"\x07\0\0\0\x07rest")
    with pytest.raises(UnknownSchema) as unknown:
        projection.read(b"\0\0\0\0\x07rest")
    assert unknown.value.schema_id == 7
    with pytest.raises(UnreadableRecord, match="a StoreConfig stands where a CartActivity was expected"):
        projection.read(codec.encode(StoreConfig()))
    whole = codec.encode(CartActivity(id="x"))
    with pytest.raises(UnreadableRecord, match="does not follow schema"):
        projection.read(whole[:20])
    with pytest.raises(UnreadableRecord, match=f"ends at byte {len(whole)}, the bytes at {len(whole) + 1}"):
        projection.read(whole + b"\0")


@pytest.mark.parametrize("shape", [Shape(Line, ("nothing", "id", "id")), Shape(Line, ("total.nothing", "id", "id"))])
async def test_a_shape_that_a_record_does_not_fit_is_told_when_it_is_named(shape: Shape[Line]) -> None:
    codec = await prepared(CartActivity)
    with pytest.raises(LookupError, match="nothing"):
        codec.project(CartActivity, shape)


@pytest.mark.parametrize("newer", ["string", ["null", "string"]])
async def test_what_the_codec_learns_serves_its_projections(newer: Any) -> None:
    registry = RegistryInMemory()
    schema = json.loads(schemas.source("CartActivity"))
    schema["fields"] = [
        {"name": "from_the_future", "type": newer},
        *(field for field in schema["fields"] if field["name"] != "total"),
    ]
    schema_id = await registry.id_of("any", json.dumps(schema))
    codec = Codec(registry, Topics.load())  # type: ignore[arg-type]
    projection = codec.project(CartActivity, SEEN)
    record = CartActivity(lines=(CartLine(name="shoe"),), discount=Money(minor=5, currency="EUR"), occurred_at=9)
    buffer = io.BytesIO()
    values = {"from_the_future": "x", **to_dict(record)}
    fastavro.schemaless_writer(buffer, schemas.parse(json.dumps(schema)), values)
    data = b"\0" + schema_id.to_bytes(4, "big") + buffer.getvalue()
    with pytest.raises(UnknownSchema):
        projection.read(data)
    await codec.learn(schema_id)
    assert projection.read(data) == seen(record)


def test_every_record_is_among_those_tried() -> None:
    assert {kind.__name__ for kind in KINDS} == set(RECORDS)
