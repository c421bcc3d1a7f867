"""The purchase barrier: asks Kafka where the topics end, and waits until the projection has passed that."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.offset import OffsetRequest

from services.messaging.domain.barrier import Barrier, Place, above_the_end, vector
from services.messaging.metrics import MessagingMetrics
from trolleybus.consumer import Progress, positions
from trolleybus.db import Pool
from trolleybus.telemetry import get_logger
from trolleybus.topics import Topic

_LATEST = -1
_READ_UNCOMMITTED = 0
_ASK_SECONDS = 2.0

log = get_logger(__name__)


class TopicEnds:
    """Asks each partition's leader for its end (ListOffsets), after asking who leads. Nothing is kept between two asks."""

    def __init__(self, bootstrap: str, topics: Sequence[Topic]) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._client: AIOKafkaClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def ask(self) -> dict[Place, int]:
        """The end of every partition of every topic; raises KafkaError or TimeoutError where one does not answer."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                client = await self._connected()
                by_leader = await self._leaders(client)
                answers = await asyncio.gather(*(self._ends(client, node, asked) for node, asked in by_leader.items()))
        except (KafkaError, OSError, TimeoutError):
            await self._close()  # The next ask begins anew, with no connection that may hang.
            raise
        return {place: end for answer in answers for place, end in answer.items()}

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = AIOKafkaClient(bootstrap_servers=self._bootstrap, client_id="messaging.barrier")
            try:
                await client.bootstrap()
                await client.set_topics([topic.full_name for topic in self._topics])
            except BaseException:
                await client.close()
                raise
            self._client = client
        return self._client

    async def _leaders(self, client: AIOKafkaClient) -> dict[int, dict[str, list[tuple[int, int]]]]:
        if not await client.force_metadata_update():
            raise KafkaError("no broker told who leads")
        by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for topic in self._topics:
            known = client.cluster.partitions_for_topic(topic.full_name) or set()
            for number in sorted(known | set(range(topic.partitions))):
                leader = client.cluster.leader_for_partition(TopicPartition(topic.full_name, number))
                if leader is None or leader == -1:
                    raise LeaderNotAvailableError(f"{topic.full_name}/{number} has no leader")
                by_leader[leader][topic.full_name].append((number, _LATEST))
        return by_leader

    async def _ends(
        self, client: AIOKafkaClient, node: int, asked: dict[str, list[tuple[int, int]]]
    ) -> dict[Place, int]:
        response = await client.send(node, OffsetRequest(-1, _READ_UNCOMMITTED, list(asked.items())))
        ends: dict[Place, int] = {}
        for topic, parts in response.topics:
            for number, code, _, offset in parts:
                if code:
                    raise for_code(code)(f"{topic}/{number}")
                ends[topic, number] = offset
        missing = [
            (topic, number) for topic, parts in asked.items() for number, _ in parts if (topic, number) not in ends
        ]
        if missing:
            raise UnknownTopicOrPartitionError(f"no end told for {missing}")
        return ends

    async def _close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()


class PurchaseBarrier:
    """Nothing is claimed without one that was passed since."""

    def __init__(
        self,
        *,
        ends: TopicEnds,
        topics: Sequence[Topic],
        consumer: str,
        progress: Progress,
        pool: Pool,
        wait_s: float,
        metrics: MessagingMetrics,
    ) -> None:
        self._ends = ends
        self._topics = topics
        self._consumer = consumer
        self._progress = progress
        self._pool = pool
        self._wait_s = wait_s
        self._metrics = metrics
        self.problem = ""

    async def passed(self) -> Barrier | None:
        """A barrier that the projection has passed; None where that could not be shown within the bound."""
        async with self._pool.connection() as conn:
            before = await positions(conn, self._consumer, self._topics)
        tick, read_at = time.monotonic(), time.time_ns() // 1_000_000
        try:
            ends = await self._ends.ask()
        except (KafkaError, OSError, TimeoutError) as error:
            self._failed("unavailable", f"Kafka did not tell the ends: {error!r}")
            return None
        if above := above_the_end(before, ends):
            self._failed(
                "above_the_end",
                f"the projection stands above the end of {above}: the topics were reset or restored. Nothing is sent until"
                " the projection was rebuilt",
            )
            return None
        if await self._progress.wait_for(self._pool, ends, self._wait_s) is None:
            self._failed("timeout", f"the projection did not pass the ends within {self._wait_s:g} s")
            return None
        self.problem = ""
        self._metrics.barrier_seconds.observe(time.monotonic() - tick)
        return Barrier(ends=vector(ends), read_at=read_at, tick=tick)

    def _failed(self, reason: str, detail: str) -> None:
        self._metrics.barrier_failures.labels(reason).inc()
        if detail != self.problem:
            log.warning("nothing passes the barrier", reason=reason, detail=detail)
        self.problem = detail
