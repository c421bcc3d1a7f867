"""The table's topic. It is the detector's own and no contract: its partitions must be those of cart.activity, which
differ between installations and tests, so it follows that topic instead of standing in schemas/topics.yaml."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from trolleybus.registry import NotRegistered, RegistryError
from trolleybus.topics import Topic

ASK_AGAIN_S = 1.0
"""Seconds between two questions while Kafka or the registry is away."""

LARGEST_ROW = 20 << 20
"""Bytes; a cart's lines and texts are bounded well below."""

CONFIG = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.3",
    "segment.ms": "3600000",
    "delete.retention.ms": "86400000",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(LARGEST_ROW),
}


class ChangelogMismatch(Exception):
    """The changelog cannot hold the source's state; the text says why."""


async def find_out(
    bootstrap: str,
    changelog: str,
    source: Topic,
    prepare: Callable[[], Awaitable[None]],
    waiting: Callable[[str], None],
) -> tuple[int, str]:
    """The changelog's partitions and the cluster's id, once Kafka answers and `prepare` its registry. Raises what is wrong for good."""
    while True:
        try:
            await prepare()
            return await ensure_changelog(bootstrap, changelog, source), await cluster_of(bootstrap)
        except NotRegistered:
            raise
        except (KafkaError, RegistryError) as error:
            waiting(str(error) or type(error).__name__)
            await asyncio.sleep(ASK_AGAIN_S)


async def ensure_changelog(bootstrap: str, name: str, source: Topic) -> int:
    """Create the topic, or check it; returns its partition count, which is the source's. Replication is the source's too."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = {entry["topic"]: entry for entry in await admin.describe_topics([source.full_name, name])}
        if described[source.full_name]["error_code"]:
            raise ChangelogMismatch(f"topic {source.full_name} is missing: run `trolleybus topics apply`")
        partitions = described[source.full_name]["partitions"]
        if described[name]["error_code"] == 0:
            found = len(described[name]["partitions"])
            if found != len(partitions):
                raise ChangelogMismatch(f"{name} has {found} partitions and {source.full_name} has {len(partitions)}")
            return found
        wanted = NewTopic(name, len(partitions), len(partitions[0]["replicas"]), topic_configs=CONFIG)
        answer = await admin.create_topics([wanted], timeout_ms=30_000)
        for topic, code, *detail in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise ChangelogMismatch(f"Kafka did not create {topic}: {for_code(code).__name__} {detail}")
        return len(partitions)
    finally:
        await admin.close()


async def cluster_of(bootstrap: str) -> str:
    """The id that a cluster gave itself: rows on disk belong to one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()
