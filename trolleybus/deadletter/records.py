"""What parked records look like on a service's dead letter topics.

A parked record keeps its key, its bytes and its headers; headers beside them say where it stood and why it is here. That it
was replayed is a record too: a marker, without a value, that names the place of the parked one on the same topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trolleybus.envelope import Headers, Outgoing

PREFIX = "dlt_"
_MAX_DETAIL = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parking:
    """Why and from where. `topic` is the name in Kafka; parked_at in ms."""

    reason: str  # A short name: unreadable, or the error's class.
    detail: str = ""
    topic: str
    partition: int
    offset: int
    parked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A parked record as it stands on the dead letter topic (its name in Kafka)."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Headers
    parking: Parking
    replayed_at: int = 0  # ms; 0: never.

    @property
    def place(self) -> str:
        return f"{self.partition}:{self.offset}"

    @property
    def id(self) -> str:
        """The record's ce_id; "" where it had none."""
        return next((value.decode(errors="replace") for name, value in self.headers if name == "ce_id"), "")


def park(
    dead_letter_topic: str, key: bytes | None, value: bytes | None, headers: Headers, parking: Parking
) -> Outgoing:
    """The record for the dead letter topic (its name in Kafka)."""
    return Outgoing(
        dead_letter_topic,
        key or b"",
        value,
        [
            *original_headers(headers),
            ("dlt_reason", parking.reason.encode()),
            ("dlt_detail", parking.detail[:_MAX_DETAIL].encode(errors="replace")),
            ("dlt_topic", parking.topic.encode()),
            ("dlt_partition", str(parking.partition).encode()),
            ("dlt_offset", str(parking.offset).encode()),
            ("dlt_parked_at", str(parking.parked_at).encode()),
        ],
    )


def original_headers(headers: Headers) -> Sequence[tuple[str, bytes]]:
    """The headers that the record had before it was parked. NUL in a name is dropped: PostgreSQL's texts cannot hold it."""
    return [(name.replace("\0", ""), value) for name, value in headers if not name.startswith(PREFIX)]


def parking_of(headers: Mapping[str, bytes]) -> Parking | None:
    """What the headers say; None for what was not parked by us."""
    try:
        return Parking(
            reason=headers["dlt_reason"].decode(),
            detail=headers["dlt_detail"].decode(errors="replace"),
            topic=headers["dlt_topic"].decode(),
            partition=int(headers["dlt_partition"]),
            offset=int(headers["dlt_offset"]),
            parked_at=int(headers["dlt_parked_at"]),
        )
    except (KeyError, ValueError):
        return None


def restored(parked: Parked) -> Outgoing:
    """The record as it was before it was parked."""
    return Outgoing(parked.parking.topic, parked.key, parked.value, original_headers(parked.headers))


def replay_marker(parked: Parked, at: int) -> Outgoing:
    """Says that a parked record was replayed at `at` (ms)."""
    return Outgoing(
        parked.topic,
        parked.key,
        None,
        [("dlt_replayed", parked.place.encode()), ("dlt_replayed_at", str(at).encode())],
    )


def marked(headers: Mapping[str, bytes]) -> tuple[str, int] | None:
    """The place and the time that a replay marker names; None for other records."""
    try:
        return headers["dlt_replayed"].decode(), int(headers["dlt_replayed_at"])
    except (KeyError, ValueError):
        return None
