"""Bytes on the topics: ours and an independent decoder agree, and bad bytes have a reason."""

import io
import json
from typing import Any, cast

import avro.io
import avro.schema
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.any_record import RECORD, RegistryInMemory, prepared
from trolleybus import schemas
from trolleybus.codec import Codec, NotPrepared, UnreadableRecord, from_dict, to_dict
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import StoreConfig
from trolleybus.envelope import Envelopes
from trolleybus.topics import Topics


@given(record=RECORD)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_every_record_comes_back_as_it_went_in(record: Record) -> None:
    codec = await prepared(type(record))
    assert codec.decode_known(codec.encode(record)) == record


@given(record=RECORD)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_an_independent_decoder_reads_the_same_values(record: Record) -> None:
    codec = await prepared(type(record))
    encoded = codec.encode(record)
    assert encoded[0] == 0
    text = json.dumps(schemas.plain(json.loads(schemas.source(type(record).__name__))))
    reader = avro.io.DatumReader(avro.schema.parse(text))
    read = reader.read(avro.io.BinaryDecoder(io.BytesIO(encoded[5:])))
    assert from_dict(type(record), cast(dict[str, Any], read)) == record


@given(data=st.binary(max_size=60))
async def test_P8_bad_bytes_have_a_reason(data: bytes) -> None:
    codec = await prepared(CartActivity)
    with pytest.raises(UnreadableRecord):
        await codec.decode(data)


@given(cut=st.integers(1, 40))
async def test_P8_a_record_cut_short_or_with_bytes_left_over_is_unreadable(cut: int) -> None:
    codec = await prepared(CartActivity)
    whole = codec.encode(CartActivity(id="x" * 60, cart_id="c" * 30))
    for broken in (whole[:-cut], whole + b"\0" * cut):
        with pytest.raises(UnreadableRecord):
            await codec.decode(broken)


async def test_a_tombstone_and_a_foreign_schema_are_named_in_the_reason() -> None:
    codec = await prepared(CartActivity)
    with pytest.raises(UnreadableRecord, match="tombstone"):
        await codec.decode(None)
    with pytest.raises(UnreadableRecord, match="no schema 7"):
        await codec.decode(b"\0\0\0\0\x07rest")


async def test_a_newer_writers_record_is_read_with_the_fields_known_here() -> None:
    registry = RegistryInMemory()
    newer = json.loads(schemas.source("CartActivity"))
    newer["fields"].append({"name": "from_the_future", "type": "string", "default": "x"})
    schema_id = await registry.id_of("any", json.dumps(newer))
    import fastavro

    buffer = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(newer), {"id": "1", "cart_id": "c"})
    codec = Codec(registry, Topics.load())  # type: ignore[arg-type]
    assert await codec.decode(buffer.getvalue()) == CartActivity(id="1", cart_id="c")


async def test_encoding_what_was_not_prepared_says_so() -> None:
    codec = await prepared(CartActivity)
    with pytest.raises(NotPrepared, match="StoreConfig"):
        codec.encode(StoreConfig())


async def test_headers_are_cloudevents_in_binary_mode() -> None:
    codec = await prepared(CartActivity)
    record = CartActivity(id="id-1", store_id="s1", cart_id="c1", occurred_at=1_700_000_000_123)
    out = Envelopes("ingest", Topics.load(), codec).wrap(record)
    assert (out.topic, out.key) == ("cart.activity.v1", b"s1:c1")
    event = from_binary_event(KafkaMessage(headers=dict(out.headers), key=out.key, value=out.value))  # type: ignore[arg-type]
    assert event.get_id() == "id-1"
    assert event.get_type() == "trolleybus.CartActivity"
    assert event.get_source() == "/trolleybus/ingest"
    assert event.get_subject() == "s1:c1"
    assert event.get_extension("storeid") == "s1"
    assert event.get_time().timestamp() == 1_700_000_000.123  # type: ignore[union-attr]
    assert event.get_data() == out.value


def test_nested_values_become_typed_records() -> None:
    record = from_dict(CartActivity, to_dict(CartActivity(lines=())))
    assert record == CartActivity()


def test_what_was_kept_as_plain_values_before_a_list_was_added_is_read_with_its_default() -> None:
    kept = to_dict(StoreConfig(store_id="a", origins=("https://shop.example.com",)))
    del kept["unmarked"]
    assert from_dict(StoreConfig, kept) == StoreConfig(store_id="a", origins=("https://shop.example.com",))
