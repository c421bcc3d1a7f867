"""Sends records to Kafka and returns when every in-sync replica has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

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

    async def __aenter__(self) -> Self:
        kafka = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            compression_type="lz4",
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=int(self._timeout * 1000),
        )
        try:
            await kafka.start()
        except KafkaError as error:
            await kafka.stop()
            raise KafkaUnavailable(f"Kafka at {self._bootstrap} does not answer: {error}") from error
        self._kafka = kafka
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kafka is not None:
            await self._kafka.stop()
            self._kafka = None

    async def send(self, *records: Record) -> None:
        """Send records; returns after all acks, raises KafkaUnavailable when one is missing."""
        await self.send_outgoing([self._envelopes.wrap(record) for record in records])

    async def send_outgoing(self, outgoing: Sequence[Outgoing]) -> None:
        """As send, for records that are wrapped already. Order is kept within a key."""
        if self._kafka is None:
            raise RuntimeError("the producer is used outside its `async with`")
        try:
            async with asyncio.timeout(self._timeout):
                acks = [
                    await self._kafka.send(one.topic, key=one.key, value=one.value, headers=list(one.headers))
                    for one in outgoing
                ]
                results = await asyncio.gather(*acks, return_exceptions=True)
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailable(f"Kafka did not acknowledge within {self._timeout:g} s: {error!r}") from error
        for result in results:
            if isinstance(result, BaseException):
                raise KafkaUnavailable(f"Kafka refused a record: {result!r}") from result
