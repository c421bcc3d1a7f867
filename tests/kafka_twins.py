"""The two producers of the gateway, one after the other."""

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from logging import Logger
from pathlib import Path
from struct import pack
from unittest.mock import patch

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from services.ingest.kafka import chosen
from services.ingest.kafka.confluent import Confluent
from services.ingest.kafka.seam import Kafka
from trolleybus.envelope import Headers

Begin = Callable[[Mapping[str, object], Logger], Kafka]


@pytest.fixture(params=["python", "compiled"])
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """`chosen.begun`, which then is what the sender uses too. The one in C must be built where CI is set."""
    is_compiled = request.param == "compiled"
    if is_compiled and not chosen.COMPILED:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("kafka_machine is not built: make setup")
    with patch.object(chosen, "COMPILED", is_compiled):
        yield chosen.begun


def break_for_good(kafka: Kafka) -> None:
    """What librdkafka's own tests have for an error that no producer survives."""
    (library,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    inject = ctypes.CDLL(str(library)).rd_kafka_test_fatal_error
    inject.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    assert inject(_handle(kafka), KafkaError.UNKNOWN_PRODUCER_ID, b"injected") == KafkaError.NO_ERROR


def packed(value: bytes, key: bytes, headers: Headers) -> bytes:
    """A parcel."""
    named = [(name.encode(), text) for name, text in headers]
    sizes = [len(value), len(key), len(named), *(len(one) for pair in named for one in pair)]
    return b"".join([pack(f"={len(sizes)}I", *sizes), value, key, *(one for pair in named for one in pair)])


def _handle(kafka: Kafka) -> int:
    if isinstance(kafka, Confluent):  # Its handle is the first field of confluent-kafka's object.
        address = id(kafka._producer) + object.__basicsize__
        return int(ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))[0])
    from services.ingest.kafka.kafka_machine import Librdkafka

    assert isinstance(kafka, Librdkafka)
    return kafka.handle
