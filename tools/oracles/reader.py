"""Reads whole topics with a client and a decoder that the services do not use: librdkafka and Apache Avro's own Python."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import avro.errors
import avro.io
import avro.schema
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition


@dataclass(frozen=True, slots=True)
class Seen:
    """One record on a topic. `kind` is the schema's name; `at` Kafka's timestamp in ms."""

    topic: str
    partition: int
    offset: int
    at: int
    key: str
    headers: dict[str, str]
    kind: str
    values: dict[str, Any]


class Decoder:
    """Decodes registry frames with the registry's address alone."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_url.rstrip("/")
        self._readers: dict[int, tuple[str, avro.io.DatumReader]] = {}

    def decode(self, data: bytes) -> tuple[str, dict[str, Any]]:
        """Name of the record and its values; raises ValueError for what is no registry frame."""
        if len(data) < 5 or data[0] != 0:
            raise ValueError("no registry frame")
        schema_id = int.from_bytes(data[1:5], "big")
        if schema_id not in self._readers:
            with urlopen(f"{self._url}/schemas/ids/{schema_id}", timeout=10) as answer:  # noqa: S310  # an operator's address
                schema = json.loads(json.load(answer)["schema"])
            plain = _without_logical_types(schema)
            self._readers[schema_id] = schema["name"], avro.io.DatumReader(avro.schema.parse(json.dumps(plain)))
        name, reader = self._readers[schema_id]
        values = reader.read(avro.io.BinaryDecoder(io.BytesIO(data[5:])))
        if not isinstance(values, dict):
            raise ValueError(f"{name} is no record")  # noqa: TRY004  # bad bytes, as above
        return name, values


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_logical_types(value) for name, value in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema


def read_all(
    bootstrap: str,
    decoder: Decoder,
    *topics: str,
    partitions: Collection[int] | None = None,
    isolation: str = "read_uncommitted",
) -> Iterator[Seen]:
    """Every readable record of the topics (of some of their partitions) up to their present ends, partition by partition in
    order of offsets.

    What cannot be decoded is passed over: that is what the tests put there on purpose.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "trolleybus-oracle",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,  # The end may be a transaction's mark, which is no record.
        }
    )
    try:
        ends = _ends(consumer, topics, partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in ends])
        left = {place for place, end in ends.items() if end > 0}
        while left:
            messages: list[Any] = consumer.consume(500, timeout=0.5)
            for message in messages:
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                if message.error() is not None:
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        raise OSError(f"reading {topic}: {message.error()}")
                    left.discard((topic, partition))
                    continue
                if offset + 1 >= ends[topic, partition]:
                    left.discard((topic, partition))
                if offset < ends[topic, partition] and message.value() is not None:
                    seen = _seen(message, decoder)
                    if seen is not None:
                        yield seen
    finally:
        consumer.close()


def _ends(
    consumer: Consumer, topics: tuple[str, ...], partitions: Collection[int] | None
) -> dict[tuple[str, int], int]:
    metadata = consumer.list_topics(timeout=10).topics
    ends = {}
    for topic in topics:
        if topic not in metadata:
            raise LookupError(f"Kafka has no topic {topic}")
        for partition in metadata[topic].partitions if partitions is None else partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            ends[topic, partition] = high if high > low else 0
    return ends


def _seen(message: Any, decoder: Decoder) -> Seen | None:
    try:
        kind, values = decoder.decode(message.value())
    except (ValueError, KeyError, OSError, avro.errors.AvroException):
        return None
    headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
    key = (message.key() or b"").decode(errors="replace")
    return Seen(
        message.topic(), message.partition(), message.offset(), message.timestamp()[1], key, headers, kind, values
    )
