"""Where partitions end at their leaders, with what is appended and not yet replicated.

A fetch tells the high watermark. When a replica dies, the watermark stands still until the dead one has left the in-sync
set, seconds later, while the leader goes on to stamp and append. A clock that went by it would pass records that are there.
So the leaders are asked for their ends (OffsetForLeaderEpoch with the present epoch, KIP-320): a leader that knows of a
newer epoch, or of none such, refuses.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

ANSWERS_WITHIN_MS = 5_000


class End(NamedTuple):
    """The log ended there when its leader answered a question sent at that time (monotonic, ms)."""

    offset: int
    asked_at: int


def monotonic_ms() -> int:
    """A clock that no one can set."""
    return time.monotonic_ns() // 1_000_000


class _Leader(NamedTuple):
    node: int
    epoch: int


class LogEnds:
    """One topic's. A connection of its own, so that no long fetch stands before a question."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._client = AIOKafkaClient(
            bootstrap_servers=bootstrap, client_id="trolleybus-log-ends", request_timeout_ms=ANSWERS_WITHIN_MS
        )
        self._leaders: Mapping[int, _Leader] = {}

    async def open(self) -> None:
        """Connect. Raises KafkaError."""
        await self._client.bootstrap()

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, partitions: Collection[int]) -> Mapping[int, End]:
        """The ends of those partitions whose leaders answered. Raises KafkaError where none could be asked."""
        if not self._leaders:
            self._leaders = await self._find_leaders()
        by_node: dict[int, list[int]] = defaultdict(list)
        for partition in partitions:
            leader = self._leaders.get(partition)
            if leader is not None and leader.node >= 0:
                by_node[leader.node].append(partition)
        answers = await asyncio.gather(*(self._ask(node, asked) for node, asked in by_node.items()))
        ends = {partition: end for answer in answers for partition, end in answer.items()}
        if len(ends) < len(partitions):
            self._leaders = {}  # Some leader has changed, or is away.
        return ends

    async def _ask(self, node: int, partitions: Sequence[int]) -> Mapping[int, End]:
        leaders = self._leaders
        question = _EndsRequest(self._topic, [(number, leaders[number].epoch) for number in partitions])
        asked_at = monotonic_ms()
        try:
            answer = await self._client.send(node, question)
        except KafkaError:
            return {}
        return {
            partition: End(offset, asked_at)
            for _, entries in answer.topics
            for error, partition, epoch, offset in entries
            if error == 0 and epoch == leaders[partition].epoch
        }

    async def _find_leaders(self) -> Mapping[int, _Leader]:
        await self._client.force_metadata_update()
        refused: KafkaError = NodeNotReadyError("no broker is known")
        for broker in self._client.cluster.brokers():
            try:
                answer = await self._client.send(broker.nodeId, _LeadersRequest(self._topic))
            except KafkaError as error:
                refused = error
                continue
            return {
                index: _Leader(leader, epoch)
                for _, name, _, entries in answer.topics
                if name == self._topic
                for _, index, leader, epoch, *_ in entries
            }
        raise refused


class _EndsResponseV3(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 23
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("error_code", Int16), ("partition", Int32), ("leader_epoch", Int32), ("end_offset", Int64)),
                ),
            ),
        ),
    )


class _EndsRequestV3(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 23
    API_VERSION = 3
    RESPONSE_TYPE = _EndsResponseV3
    SCHEMA = Schema(
        ("replica_id", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(("partition", Int32), ("current_leader_epoch", Int32), ("leader_epoch", Int32)),
                ),
            ),
        ),
    )


class _EndsRequest(Request[_EndsRequestV3]):  # type: ignore[misc]  # aiokafka has no types
    """OffsetForLeaderEpoch, which aiokafka does not know: the end of the present epoch is the end of the log."""

    API_KEY = 23

    def __init__(self, topic: str, epochs: Sequence[tuple[int, int]]) -> None:
        self._topics = [(topic, [(partition, epoch, epoch) for partition, epoch in epochs])]

    def build(self, request_struct_class: type[_EndsRequestV3]) -> Any:
        return request_struct_class(-1, self._topics)


class _LeadersResponseV7(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
            ),
        ),
    )


class _LeadersRequestV7(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 7
    RESPONSE_TYPE = _LeadersResponseV7
    SCHEMA = Schema(("topics", Array(String("utf-8"))), ("allow_auto_topic_creation", Boolean))


class _LeadersRequest(Request[_LeadersRequestV7]):  # type: ignore[misc]  # aiokafka has no types
    """Metadata with the leaders' epochs, which aiokafka's own versions leave out."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_LeadersRequestV7]) -> Any:
        return request_struct_class([self._topic], False)
