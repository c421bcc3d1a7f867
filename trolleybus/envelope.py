"""How a record travels: CloudEvents 1.0, binary mode, in Kafka's headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from trolleybus.codec import Codec
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.records import Record
from trolleybus.telemetry import current_traceparent
from trolleybus.topics import Topic, Topics

Headers = Sequence[tuple[str, bytes]]
R = TypeVar("R", bound=Record, covariant=True)

STORE_HEADER = "ce_storeid"
TRACE_HEADER = "traceparent"
SPECVERSION = ("ce_specversion", b"1.0")
AVRO = ("content-type", b"application/avro")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record ready to be sent: bytes only. Topic is the name in Kafka."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as Kafka delivered it, unread. Topic is the logical name (orders); appended_at in ms."""

    topic: str
    partition: int
    offset: int
    appended_at: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]

    def store_id(self) -> str:
        """The store by its header; "" where there is none that can be read."""
        return self.headers.get(STORE_HEADER, b"").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Received(Generic[R]):
    """A record that was read, and where it stood."""

    topic: str
    partition: int
    offset: int
    appended_at: int
    key: bytes | None
    headers: Mapping[str, bytes]
    record: R

    @property
    def arrival(self) -> int:
        """When it arrived (ms): the append, but for imported records the historic arrival that they carry."""
        if getattr(self.record, "imported", False):
            return int(getattr(self.record, "received_at", 0)) or self.record.occurred_at
        return self.appended_at


class Frame(NamedTuple):
    """The topic's name in Kafka, and the headers that name a record's type and source."""

    topic: str
    kind: tuple[str, bytes]
    source: tuple[str, bytes]


class Envelopes:
    """Wraps the records of one service."""

    def __init__(self, service: str, topics: Topics, codec: Codec) -> None:
        self._source = ("ce_source", f"/trolleybus/{service}".encode())
        self._topics = topics
        self._codec = codec
        self._kinds: dict[type[Record], tuple[Topic, tuple[str, bytes]]] = {}  # With the header that names the type.

    def wrap(self, record: Record) -> Outgoing:
        """Key, bytes and headers of a record; its ce_id is the idempotency key."""
        kind = type(record)
        topic, _ = self._kinds.get(kind) or self._learn(kind)
        key, value = topic.key_of(record), self._codec.encode(record)
        return self.sealed(kind, record.id, record.store_id, record.occurred_at, key, value)

    def sealed(
        self, kind: type[Record], record_id: str, store_id: str, occurred_at: int, key: bytes, value: bytes
    ) -> Outgoing:
        """The same, of a record whose key and value are bytes already."""
        topic, named = self._kinds.get(kind) or self._learn(kind)
        headers = [
            SPECVERSION,
            ("ce_id", record_id.encode()),
            named,
            self._source,
            ("ce_time", rfc3339(occurred_at).encode()),
            ("ce_subject", key),
            (STORE_HEADER, store_id.encode()),
            AVRO,
        ]
        trace = current_traceparent()
        if trace:
            headers.append((TRACE_HEADER, trace.encode()))
        return Outgoing(topic.full_name, key, value, headers)

    def frame(self, kind: type[Record]) -> Frame:
        """What is the same for all records of a kind: for who makes their headers in another way."""
        topic, named = self._kinds.get(kind) or self._learn(kind)
        return Frame(topic.full_name, named, self._source)

    def _learn(self, kind: type[Record]) -> tuple[Topic, tuple[str, bytes]]:
        found = self._topics.of(kind), ("ce_type", f"trolleybus.{kind.__name__}".encode())
        self._kinds[kind] = found
        return found


@lru_cache(maxsize=256)  # Most are of this moment.
def rfc3339(at_ms: int) -> str:
    """Milliseconds since the epoch as an RFC 3339 time in UTC."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
