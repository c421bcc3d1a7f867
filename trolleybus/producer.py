"""Sends records to Kafka and returns when every in-sync replica has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from trolleybus.contracts.records import Record
from trolleybus.envelope import Envelopes, Outgoing


class KafkaUnavailable(Exception):
    """Kafka did not acknowledge; the record may or may not stand on the topic, a retry carries the same id."""


class RecordProducer:
    """An idempotent producer with acks from all in-sync replicas, partitioning by murmur2 (aiokafka's default).

    timeout_ms bounds how long a send may take before it is given up.
    """

    def __init__(self, bootstrap: str, envelopes: Envelopes, *, linger_ms: int = 1, timeout_ms: int = 10_000) -> None:
        self._envelopes = envelopes
        self._timeout = timeout_ms / 1000
        self._bootstrap = bootstrap
        self._linger_ms = linger_ms
        self._kafka: AIOKafkaProducer | None = None
        self._is_open = False
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._kafka = await self._started()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        async with self._changing:
            kafka, self._kafka = self._kafka, None
        if kafka is not None:
            await self._stop(kafka)

    async def send(self, *records: Record) -> None:
        """Send records; returns after all acks, raises KafkaUnavailable when one is missing."""
        await self.send_outgoing([self._envelopes.wrap(record) for record in records])

    async def send_outgoing(self, outgoing: Sequence[Outgoing]) -> None:
        """As send, for records that are wrapped already. Order is kept within a key."""
        try:
            async with asyncio.timeout(self._timeout):
                kafka = await self._sound()
                acks = [
                    await kafka.send(one.topic, key=one.key, value=one.value, headers=list(one.headers))
                    for one in outgoing
                ]
                results = await asyncio.gather(*acks, return_exceptions=True)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailable(f"Kafka did not acknowledge within {self._timeout:g} s: {error!r}") from error
        refusals = [result for result in results if isinstance(result, BaseException)]
        if refusals:
            await self._give_up(kafka)
            raise KafkaUnavailable(f"Kafka refused a record: {refusals[0]!r}") from refusals[0]

    async def _sound(self) -> AIOKafkaProducer:
        """The client in use; a new one where the last was given up."""
        async with self._changing:
            if not self._is_open:
                raise RuntimeError("the producer is used outside its `async with`")
            if self._kafka is None:
                self._kafka = await self._started()
            return self._kafka

    async def _give_up(self, kafka: AIOKafkaProducer) -> None:
        """A batch that was refused has used up its sequence numbers: everything after it on its partition would be
        refused as out of order for ever. A new client has new ones."""
        async with self._changing:
            if self._kafka is kafka:
                self._kafka = None
                await self._stop(kafka)

    async def _started(self) -> AIOKafkaProducer:
        kafka = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            compression_type="snappy",  # aiokafka compresses lz4 at level 9, which takes ten times as long.
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=int(self._timeout * 1000),
        )
        try:
            await kafka.start()
        except BaseException as error:
            await kafka.stop()
            if isinstance(error, KafkaError):
                raise KafkaUnavailable(f"Kafka at {self._bootstrap} does not answer: {error}") from error
            raise
        return kafka

    async def _stop(self, kafka: AIOKafkaProducer) -> None:
        """Waits for what is still under way, but no longer than a send may take."""
        stopping = asyncio.ensure_future(kafka.stop())
        await asyncio.wait({stopping}, timeout=self._timeout)
        if not stopping.done():
            # Without this the client waits for its broker for ever; it has no public way to stop without flushing.
            kafka._message_accumulator.fail_all(KafkaTimeoutError())
        await stopping
