"""The topics, as schemas/topics.yaml tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from trolleybus import schemas
from trolleybus.contracts.records import RECORDS, Record

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: its logical name (orders), its name in Kafka (orders.v1) and what holds for it."""

    name: str
    full_name: str
    partitions: int
    key: tuple[str, ...] = ()
    records: tuple[type[Record], ...] = ()
    retention_ms: int = -1  # -1: kept for ever.
    cleanup: str = "delete"
    barrier: bool = False
    about: str = ""
    written_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()

    def config(self) -> dict[str, str]:
        """The topic's configuration in Kafka; the timestamp is always the time of the append."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
        }

    def key_of(self, record: Record) -> bytes:
        """The key that a record stands under: the values of the key's fields, joined by colons."""
        return ":".join([str(getattr(record, field)) for field in self.key]).encode()


class UnknownTopic(KeyError):
    """No topic of that name is in schemas/topics.yaml."""

    def __str__(self) -> str:
        return f"no topic {self.args[0]!r} in schemas/topics.yaml"


class Topics:
    """All topics by logical name, and the topic of each kind of record."""

    def __init__(self, topics: list[Topic], dead_letters: list[Topic]) -> None:
        self._by_name = {topic.name: topic for topic in topics}
        self._by_record: dict[type, Topic] = {record: topic for topic in topics for record in topic.records}
        self._dead_letters = {topic.name: topic for topic in dead_letters}

    @classmethod
    def load(cls, prefix: str = "", partitions: int | None = None) -> Topics:
        """Read schemas/topics.yaml; a prefix and a partition count of one's own let tests share a broker."""
        return cls.parse((schemas.directory() / "topics.yaml").read_text(), prefix, partitions)

    @classmethod
    def parse(cls, text: str, prefix: str = "", partitions: int | None = None) -> Topics:
        """Topics from the text of a topics file; raises KeyError for a record that has no schema."""
        document = yaml.safe_load(text)
        defaults = document["defaults"]
        topics = [_topic(name, entry, defaults, prefix, partitions) for name, entry in document["topics"].items()]
        dead = defaults["dead_letter"]
        dead_letters = [
            Topic(
                name=f"{service}.{topic.name}.dlt",
                full_name=f"{prefix}{service}.{topic.name}.dlt",
                partitions=min(partitions or dead["partitions"], dead["partitions"]),
                retention_ms=dead["retention_days"] * DAY_MS,
                about=f"What {service} could not handle of {topic.name}.",
                written_by=(service,),
            )
            for topic in topics
            for service in topic.read_by
        ]
        return cls(topics, dead_letters)

    def __getitem__(self, name: str) -> Topic:
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownTopic(name) from None

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._by_name.values())

    def of(self, record: Record | type[Record]) -> Topic:
        """The one topic that a kind of record stands on."""
        kind = record if isinstance(record, type) else type(record)
        found: Topic = self._by_record[kind]
        return found

    def dead_letter(self, service: str, topic: str) -> Topic:
        """Where a service parks what it could not handle of a topic (logical name)."""
        try:
            return self._dead_letters[f"{service}.{topic}.dlt"]
        except KeyError:
            raise UnknownTopic(f"{service}.{topic}.dlt") from None

    def dead_letters(self) -> list[Topic]:
        """Every dead letter topic."""
        return list(self._dead_letters.values())

    def by_full_name(self, full_name: str) -> Topic:
        """The topic of that name in Kafka, dead letter topics among them."""
        everywhere: list[Topic] = [*self, *self._dead_letters.values()]
        for topic in everywhere:
            if topic.full_name == full_name:
                return topic
        raise UnknownTopic(full_name)

    def read_by(self, service: str) -> list[Topic]:
        """The topics that a service reads."""
        return [topic for topic in self if service in topic.read_by]


def _topic(name: str, entry: dict[str, Any], defaults: dict[str, Any], prefix: str, partitions: int | None) -> Topic:
    days = entry.get("retention_days", -1)
    return Topic(
        name=name,
        full_name=f"{prefix}{name}.v{entry.get('version', defaults['version'])}",
        partitions=partitions or entry.get("partitions", defaults["partitions"]),
        key=tuple(entry["key"]),
        records=tuple(RECORDS[record] for record in entry["records"]),
        retention_ms=days * DAY_MS if days >= 0 else -1,
        cleanup=entry.get("cleanup", "delete"),
        barrier=entry.get("barrier", False),
        about=entry.get("about", ""),
        written_by=tuple(entry["written_by"]),
        read_by=tuple(entry["read_by"]),
    )
