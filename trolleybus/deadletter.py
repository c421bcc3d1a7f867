"""Records that a service could not handle: what they look like on its dead letter topics.

A parked record keeps its key, its bytes and its headers; headers beside them say where it stood and why it is here.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The headers that the record had before it was parked."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]
