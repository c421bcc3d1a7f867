"""Both producers of the gateway, against the cluster that librdkafka brings for tests: no server is started."""

import gc
import logging
import os
import select
import subprocess
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import Any, TypeVar

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.kafka import chosen
from services.ingest.kafka.confluent import Confluent
from services.ingest.kafka.parcel import parts
from services.ingest.kafka.seam import Failed, Kafka, Parcelled, QueueFull
from tests.kafka_twins import Begin, begin, break_for_good, packed
from trolleybus.envelope import Outgoing

__all__ = ["begin"]

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 3}
LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
Record = Outgoing | Parcelled


@dataclass(frozen=True)
class Parcel:
    topic: str
    parcel: bytes


class Token:
    """One that can be watched."""


def as_parcel(record: Outgoing) -> Parcel:
    assert record.value is not None
    return Parcel(record.topic, packed(record.value, record.key, record.headers))


def soon(found: Callable[[], T | None], within_s: float = 30) -> T:
    """The first truthy answer; fails after the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := found():
            return answer
        assert time.monotonic() < deadline, f"not so within {within_s:g} s"
        time.sleep(0.001)


def threads() -> set[int]:
    """Of this process, also those that are not Python's."""
    return {one.id for one in psutil.Process().threads()}


def told(kafka: Kafka, tokens: int = 1) -> list[tuple[object, str | None]]:
    """That many tokens with their outcomes, and none more where nothing is under way any more."""
    found: list[tuple[object, str | None]] = []

    def all_of_them() -> bool:
        found.extend(kafka.heard().settled)
        return len(found) >= tokens

    soon(all_of_them)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Its address; it is there as long as the producer that made it."""
    keeper = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    (broker,) = keeper.list_topics(timeout=30).brokers.values()
    yield f"{broker.host}:{broker.port}"
    keeper.flush(1)


@pytest.fixture
def topic() -> str:
    return f"records-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def to_cluster(begin: Begin, cluster: str) -> Iterator[Kafka]:
    kafka = begin(
        {"bootstrap.servers": cluster, "enable.idempotence": True, "acks": "all", "linger.ms": 1, "log_level": 3},
        LOGGER,
    )
    yield kafka
    kafka.purge()
    kafka.close()


def stored(cluster: str, topic: str, records: int) -> list[tuple[Any, Any, Any]]:
    """Key, value and headers of so many records, by partition."""
    reader = Consumer({"bootstrap.servers": cluster, "group.id": "reader", "log_level": 3})
    try:
        partitions = soon(lambda: reader.list_topics(topic, timeout=10).topics[topic].partitions)
        reader.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions])
        found = []

        def all_of_them() -> bool:
            message = reader.poll(0.1)
            if message is not None and message.error() is None:
                found.append((message.key(), message.value(), message.headers() or []))
            return len(found) >= records

        soon(all_of_them)
        return found
    finally:
        reader.close()


def test_a_token_is_told_once_and_only_after_all_of_its_records(begin: Begin, cluster: str, topic: str) -> None:
    each_alone = {"batch.num.messages": 1, "max.in.flight.requests.per.connection": 1, "linger.ms": 0}
    kafka = begin({"bootstrap.servers": cluster, "acks": "all", "log_level": 3, **each_alone}, LOGGER)
    tokens = [object() for _ in range(5)]
    for token in tokens:
        kafka.hand_over([Outgoing(topic, b"key", b"value", [])] * 40, token)
        assert told(kafka) == [(token, None)]
        assert len(kafka) == 0
    for token in tokens:
        kafka.hand_over([Outgoing(topic, b"key", b"value", [])] * 40, token)
    assert told(kafka, 5) == [(token, None) for token in tokens]
    assert kafka.heard() == ((), None, False)
    kafka.close()


WHOLE = [
    Outgoing("", b"key", b"value", [("ce_id", b"1"), ("ce_id", b"2"), ("empty", b""), ("", b"of no name")]),
    Outgoing("", b"", b"", []),
    Outgoing("", "schlüssel".encode(), bytes(range(256)), [("größe-寸法", "ü\0寸".encode())]),
    Outgoing("", b"large", b"v" * 500_000, [(f"header-{number}", b"h" * number) for number in range(40)]),
]


@pytest.mark.parametrize("form", [lambda record: record, as_parcel], ids=["outgoing", "parcel"])
def test_records_arrive_as_they_were_handed_over(
    to_cluster: Kafka, cluster: str, topic: str, form: Callable[[Outgoing], Record]
) -> None:
    records = [Outgoing(topic, one.key, one.value, one.headers) for one in WHOLE]
    to_cluster.hand_over([form(one) for one in records], "token")
    assert told(to_cluster) == [("token", None)]
    found = stored(cluster, topic, len(records))
    assert sorted(found) == sorted((one.key, one.value, list(one.headers)) for one in records)


def test_a_tombstone_is_told_from_an_empty_value(to_cluster: Kafka, cluster: str, topic: str) -> None:
    to_cluster.hand_over([Outgoing(topic, b"key", None, []), Outgoing(topic, b"key", b"", [])], "token")
    assert told(to_cluster) == [("token", None)]
    assert [value for _, value, _ in stored(cluster, topic, 2)] == [None, b""]


def test_records_of_one_key_keep_their_order_in_either_form(to_cluster: Kafka, cluster: str, topic: str) -> None:
    records = [Outgoing(topic, b"key", b"%d" % number, []) for number in range(500)]
    mixed: list[Record] = [as_parcel(one) if number % 3 else one for number, one in enumerate(records)]
    for start in range(0, 500, 50):
        to_cluster.hand_over(mixed[start : start + 50], start)
    assert told(to_cluster, 10) == [(start, None) for start in range(0, 500, 50)]
    assert [value for _, value, _ in stored(cluster, topic, 500)] == [one.value for one in records]


WHOLE_PARCEL = packed(b"value", b"key", [("name", b"text"), ("n", b"")])


@pytest.mark.parametrize(
    "parcel",
    [
        b"",
        WHOLE_PARCEL[:11],
        WHOLE_PARCEL[:20],
        WHOLE_PARCEL[:-1],
        WHOLE_PARCEL + b"\0",
        pack("=3I", 0, 0, 2**32 - 1),
        pack("=3I", 2**32 - 1, 2**32 - 1, 0),
        pack("=3I", 2**32 - 1, 1, 0),
        pack("=5I", 0, 0, 1, 2**32 - 1, 1),
        pack("=7I", 0, 0, 2, 2**32 - 1, 2**32 - 1, 2, 0),
    ],
)
def test_a_parcel_whose_sizes_lie_is_refused(to_cluster: Kafka, topic: str, parcel: bytes) -> None:
    with pytest.raises(ValueError, match="parcel"):
        to_cluster.hand_over([Parcel(topic, parcel)], "token")
    assert len(to_cluster) == 0


@given(
    value=st.binary(max_size=300),
    key=st.binary(max_size=20),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=5),
    cut=st.integers(0, 200),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_parcel_is_what_was_packed_and_cut_anywhere_it_is_none(
    value: bytes, key: bytes, headers: list[tuple[str, bytes]], cut: int
) -> None:
    whole = packed(value, key, headers)
    assert parts(whole) == (value, key, headers)
    if cut < len(whole):
        with pytest.raises(ValueError, match="parcel"):
            parts(whole[:cut])


@pytest.mark.parametrize(
    "record", [Outgoing("t", b"", b"", [("name", 7)]), Outgoing("t", b"", 7, []), Outgoing(None, b"", b"", [])]  # type: ignore[list-item, arg-type]
)  # fmt: skip
def test_what_is_no_record_is_refused(to_cluster: Kafka, record: Outgoing) -> None:
    with pytest.raises(TypeError):
        to_cluster.hand_over([record], "token")
    with pytest.raises(ValueError, match="no record"):
        to_cluster.hand_over([], "token")
    assert len(to_cluster) == 0


def test_a_batch_that_fits_no_more_is_never_told_and_others_are(begin: Begin, cluster: str, topic: str) -> None:
    small = {"queue.buffering.max.messages": 8, "linger.ms": 1}
    kafka = begin({"bootstrap.servers": cluster, "acks": "all", "log_level": 3, **small}, LOGGER)
    kafka.ask(30)
    untold = Token()
    is_gone = weakref.ref(untold)
    kafka.hand_over([Outgoing(topic, b"key", b"first", [])] * 5, "first")
    with pytest.raises(QueueFull):
        kafka.hand_over([Outgoing(topic, b"key", b"second", [("name", b"text")])] * 5, untold)
    del untold
    heard = told(kafka)
    while len(kafka):  # What nobody has heard yet counts, though it has no token.
        heard += kafka.heard().settled
    kafka.hand_over([Outgoing(topic, b"key", b"third", [])] * 8, "third")
    heard += told(kafka)
    gc.collect()
    assert heard == [("first", None), ("third", None)]
    assert is_gone() is None
    values = [value for _, value, _ in stored(cluster, topic, 16)]
    assert values == [b"first"] * 5 + [b"second"] * 3 + [b"third"] * 8
    kafka.close()


def test_a_record_too_large_is_refused_with_its_error(to_cluster: Kafka, topic: str) -> None:
    with pytest.raises(Failed, match="too large") as refusal:
        to_cluster.hand_over([Outgoing(topic, b"key", b"v" * 2_000_000, [("name", b"text")])], "token")
    assert (refusal.value.code, refusal.value.is_fatal) == (10, False)
    assert len(to_cluster) == 0


def test_a_record_that_takes_too_long_is_told_with_its_error(begin: Begin, topic: str) -> None:
    kafka = begin({**NOWHERE, "message.timeout.ms": 50}, LOGGER)
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])] * 3, "token")
    assert told(kafka) == [("token", "Local: Message timed out")]
    kafka.close()


def test_what_is_purged_is_told(begin: Begin, topic: str) -> None:
    kafka = begin(NOWHERE, LOGGER)
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])] * 3, "one")
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])], "two")
    assert len(kafka) >= 4
    kafka.purge()
    assert told(kafka, 2) == [("one", "Local: Purged in queue"), ("two", "Local: Purged in queue")]
    kafka.close()


def test_of_a_batch_that_fails_in_part_the_error_is_told(begin: Begin, topic: str) -> None:
    slow = {"test.mock.num.brokers": 1, "test.mock.broker.rtt": 5}  # Milliseconds.
    each_alone = {"batch.num.messages": 1, "max.in.flight.requests.per.connection": 1, "linger.ms": 0}
    kafka = begin({**slow, "acks": "all", "log_level": 3, **each_alone}, LOGGER)
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])] * 400, "token")

    def some_are_sent() -> bool:
        assert not kafka.heard().settled
        return len(kafka) < 390

    soon(some_are_sent)
    kafka.purge()
    ((token, error),) = told(kafka)
    assert (token, error) in (("token", "Local: Purged in queue"), ("token", "Local: Purged in flight"))
    kafka.close()


def test_a_dead_address_is_told_and_logged_as_an_error(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    kafka = begin(NOWHERE, LOGGER)
    soon(lambda: kafka.heard().all_down)
    with pytest.raises(Failed) as failure:
        kafka.ask(0.05)
    assert not failure.value.is_fatal
    soon(lambda: [kafka.heard()] and caplog.records)
    assert {(one.name, one.levelno) for one in caplog.records} == {(LOGGER.name, logging.ERROR)}
    assert "refused" in caplog.text
    assert "producer-" in caplog.text
    kafka.close()


def test_what_is_fatal_is_told_once_and_refused_from_then_on(begin: Begin, cluster: str, topic: str) -> None:
    kafka = begin({"bootstrap.servers": cluster, "enable.idempotence": True, "log_level": 3}, LOGGER)
    kafka.ask(30)
    break_for_good(kafka)
    heard = soon(lambda: kafka.heard().fatal)
    assert "injected" in heard
    with pytest.raises(Failed) as refusal:
        kafka.hand_over([Outgoing(topic, b"key", b"value", [("name", b"text")])], "token")
    assert refusal.value.is_fatal
    assert kafka.heard().fatal is None
    kafka.close()


def test_while_one_thread_asks_others_go_on_and_closing_waits_for_none(begin: Begin) -> None:
    kafka = begin(NOWHERE, LOGGER)
    outcomes: list[Exception] = []

    def ask() -> None:
        try:
            kafka.ask(1)
        except Failed as failure:
            outcomes.append(failure)

    asking = threading.Thread(target=ask)
    asking.start()
    turns = 0
    while asking.is_alive():
        turns += 1
        if turns == 20:
            assert not outcomes
            kafka.close()
        time.sleep(0.001)
    asking.join()
    assert turns > 50
    assert len(outcomes) == 1


def test_a_closed_producer_has_ended_its_threads_and_says_that_it_is_closed(begin: Begin, topic: str) -> None:
    token = Token()
    is_gone = weakref.ref(token)
    before = threads()
    kafka = begin(NOWHERE, LOGGER)
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])], token)
    del token
    begun = threads() - before
    assert begun
    kafka.purge()
    kafka.close()
    kafka.close()
    soon(lambda: not begun & threads())
    gc.collect()
    assert is_gone() is None
    for use in (kafka.heard, kafka.purge, lambda: len(kafka), lambda: kafka.hand_over(WHOLE, "token")):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    with pytest.raises(Failed, match="closed"):
        kafka.ask(1)


def test_a_producer_that_nobody_holds_ends_by_itself(begin: Begin, topic: str) -> None:
    before = threads()
    kafka = begin(NOWHERE, LOGGER)
    kafka.hand_over([Outgoing(topic, b"key", b"value", [])], "token")
    begun = threads() - before
    assert begun
    del kafka
    gc.collect()
    soon(lambda: not begun & threads())


def test_a_setting_that_librdkafka_does_not_know_is_refused(begin: Begin) -> None:
    with pytest.raises(Exception, match="nonsense"):
        begin({"nonsense": 1}, LOGGER)


@pytest.mark.parametrize("is_sent", [True, False], ids=["sent", "purged"])
@pytest.mark.parametrize("form", [lambda record: record, as_parcel], ids=["outgoing", "parcel"])
def test_a_hundred_thousand_records_leave_no_memory_behind(
    begin: Begin, cluster: str, topic: str, form: Callable[[Outgoing], Record], is_sent: bool
) -> None:
    kafka = begin({"bootstrap.servers": cluster, "acks": "all", "log_level": 3} if is_sent else NOWHERE, LOGGER)
    # One key, so that the cluster, which is in this process, keeps one partition's records and soon no more than that.
    batch: Sequence[Record] = [form(Outgoing(topic, b"key", b"v" * 500, [("name", b"h" * 500)] * 2))] * 50
    tokens: list[weakref.ref[Token]] = []

    def go(records: int) -> None:
        for _ in range(records // 1000):
            for _ in range(20):
                token = Token()
                tokens.append(weakref.ref(token))
                kafka.hand_over(batch, token)
            if not is_sent:
                kafka.purge()
            found = told(kafka, 20)
            assert {error for _, error in found} == {None if is_sent else "Local: Purged in queue"}
            token = Token()
            before = sys.getrefcount(token)
            kafka.hand_over(batch, token)
            if not is_sent:
                kafka.purge()
            assert told(kafka)[0][0] is token
            assert sys.getrefcount(token) == before

    go(20_000)
    memory = psutil.Process().memory_info().rss
    go(100_000)
    grown = psutil.Process().memory_info().rss - memory
    gc.collect()
    assert not [one for one in tokens if one() is not None]
    assert grown < 40_000_000  # All of a record's headers alone would be 100 MB.
    kafka.close()


def test_it_writes_when_there_is_something_to_hear_and_not_where_that_was_taken_back(
    to_cluster: Kafka, topic: str
) -> None:
    if isinstance(to_cluster, Confluent):
        pytest.skip("confluent-kafka's producer cannot tell")
    reader, writer = os.pipe()
    try:
        to_cluster.wake(writer)
        to_cluster.hand_over([Outgoing(topic, b"key", b"value", [])], 1)
        assert select.select([reader], [], [], 30)[0]
        os.read(reader, 512)
        assert told(to_cluster) == [(1, None)]
        to_cluster.wake(-1)
        to_cluster.hand_over([Outgoing(topic, b"key", b"value", [])], 2)
        assert told(to_cluster) == [(2, None)]
        assert not select.select([reader], [], [], 0)[0]
    finally:
        to_cluster.wake(-1)
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not chosen.COMPILED, reason="kafka_machine is not built")
def test_a_library_that_lacks_a_function_is_refused_with_its_name() -> None:
    import _ctypes

    script = (
        f"from confluent_kafka import cimpl; cimpl.__file__ = {_ctypes.__file__!r}; "
        "from services.ingest.kafka.kafka_machine import Librdkafka"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert "ImportError: the librdkafka of" in ended.stderr
    assert "has no rd_kafka_version" in ended.stderr
