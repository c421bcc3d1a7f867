"""Creates topics and registers schemas: the one place that does. Services never do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from trolleybus import schemas
from trolleybus.registry import Registry, subject
from trolleybus.topics import Topic

COMPATIBILITY = "FULL_TRANSITIVE"


class TopicMismatch(Exception):
    """A topic stands in Kafka otherwise than in schemas/topics.yaml."""


Report = Callable[[str], None]


async def create_topics(bootstrap: str, topics: Sequence[Topic], report: Report, replication: int = -1) -> None:
    """Create what is missing and bring retention in line; raises TopicMismatch for another partition count.

    Replication -1 leaves the factor to the brokers' default.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        present = set(await admin.list_topics())
        wanted = {topic.full_name for topic in topics}
        existing = await _partitions(admin, sorted(wanted & present))
        wrong = [
            f"{topic.full_name} has {existing[topic.full_name]} partitions, schemas/topics.yaml says {topic.partitions}"
            for topic in topics
            if topic.full_name in existing and existing[topic.full_name] != topic.partitions
        ]
        if wrong:
            raise TopicMismatch(
                "; ".join(wrong)
                + ". Partition counts are never changed in place: keys would move. Give the topic a new version and copy it."
            )
        missing = [topic for topic in topics if topic.full_name not in present]
        await _create(admin, missing, replication)
        for topic in topics:
            if topic.full_name in existing:
                await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.full_name, topic.config())])
            else:
                report(f"created {topic.full_name} ({topic.partitions} partitions)")
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    if not names:
        return {}
    return {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics(names)}


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication: int) -> None:
    if not topics:
        return
    answer = await admin.create_topics(
        [
            # The client takes the brokers' default factor only together with an (empty) assignment.
            NewTopic(topic.full_name, topic.partitions, replication, {} if replication == -1 else None, topic.config())
            for topic in topics
        ],
        timeout_ms=60_000,
    )
    for name, code, *detail in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise KafkaError(f"Kafka did not create {name}: {for_code(code).__name__} {' '.join(map(str, detail))}")


async def register_schemas(registry: Registry, topics: Iterable[Topic], report: Report) -> None:
    """Register every version of every record's schema, oldest first, under rules that refuse a breaking one."""
    for topic in topics:
        for record in topic.records:
            name = subject(topic, record.__name__)
            for version in schemas.versions(record.__name__):
                schema_id = await registry.register(name, schemas.source(record.__name__, version))
                report(f"registered {name} version {version} as schema {schema_id}")
            await registry.set_compatibility(name, COMPATIBILITY)
