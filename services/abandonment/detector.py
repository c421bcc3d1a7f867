"""Feeds the partitions' shards: records from the stream, silence from the ticks. One thing at a time.

The order of work: apply, tell recovery.carts and await the acks, write the changelog and await the acks, acknowledge.
A crash at any point repeats ids and loses nothing. The state's own row says where a partition stands; Kafka's committed
offset is only what others see of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.abandonment.domain.checks import Rejected
from services.abandonment.domain.effects import Effect
from services.abandonment.kafka import Ends
from services.abandonment.metrics import AbandonmentMetrics
from services.abandonment.shard import Shard
from services.abandonment.store_settings import StoreSettings, UnknownStore
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.deadletter import Parking, park
from trolleybus.envelope import Envelopes, Outgoing
from trolleybus.producer import KafkaUnavailable, RecordProducer
from trolleybus.registry import RegistryError
from trolleybus.telemetry import get_logger
from trolleybus.topics import Topic

log = get_logger(__name__)

LONGEST_PAUSE = 5.0
"""Seconds between tries while Kafka or the registry is away."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record of cart.activity as it was read."""

    partition: int
    offset: int
    appended_at: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Detector:
    """The shards that this worker owns, and what is done with them."""

    def __init__(
        self,
        *,
        topic: Topic,
        dead_letters: Topic,
        codec: Codec,
        envelopes: Envelopes,
        producer: RecordProducer,
        settings: StoreSettings,
        keep: Callable[[int, Sequence[tuple[bytes, bytes | None]]], Awaitable[None]],
        ends: Ends,
        metrics: AbandonmentMetrics,
        clock_margin_ms: int,
        batch: int,
    ) -> None:
        self._topic = topic
        self._dead_letters = dead_letters
        self._codec = codec
        self._envelopes = envelopes
        self._producer = producer
        self._settings = settings
        self._keep = keep
        self._ends = ends
        self._metrics = metrics
        self._margin = clock_margin_ms
        self._batch = batch
        self.shards: dict[int, Shard] = {}
        self.problem = ""

    async def hear(self, partition: int, records: Sequence[Fetched]) -> tuple[int, int] | None:
        """A run of records of one partition, in order.

        Stops where records are missing, and returns the offset of the first missing and of the one that stood there.
        """
        shard = self.shards.get(partition)
        if shard is None:
            return None  # It went to another worker, which reads on from the state.
        outgoing: list[Outgoing] = []
        made: list[Effect] = []
        missing = None
        for record in records:
            if record.offset < shard.clock.next_offset:
                self._metrics.replayed.inc()
                continue
            if record.offset > shard.clock.next_offset:
                missing = shard.clock.next_offset, record.offset
                break
            effects, parked = await self._apply(shard, record)
            made.extend(effects)
            outgoing.extend(self._wrapped(effects))
            outgoing.extend(parked)
        await self._settle(shard, made, outgoing)
        return missing

    def pass_over(self, partition: int, next_offset: int) -> None:
        """The offsets before `next_offset` are known to hold no record that was not heard."""
        shard = self.shards[partition]
        shard.clock.next_offset = max(shard.clock.next_offset, next_offset)

    async def tick(self, partition: int) -> None:
        """Tell what silence made due in one partition."""
        shard = self.shards[partition]
        end = self._ends.get(self._topic.full_name, partition)
        if end is not None:
            shard.clock.end_seen(end.offset, end.sent_at - self._margin)
        made = shard.silence(self._batch)
        await self._settle(shard, made, self._wrapped(made))
        self._measure(shard)

    def lag(self, partition: int) -> int:
        """Records that stand in the log and are not applied yet, as far as the last fetch told."""
        end = self._ends.get(self._topic.full_name, partition)
        return max(0, end.offset - self.shards[partition].clock.next_offset) if end else 0

    async def _apply(self, shard: Shard, fetched: Fetched) -> tuple[tuple[Effect, ...], list[Outgoing]]:
        arrival = fetched.appended_at
        try:
            record = await self._read(fetched)
            arrival = record.received_at or record.occurred_at if record.imported else arrival
            config = await self._patiently(lambda: self._settings.resolve(record.store_id, record.config_version))
            if record.kind == "import_ended" and not record.cart_id:
                effects = shard.end_import(record, arrival, fetched.offset, config)
            else:
                key = self._topic.key_of(record)
                effects, note = shard.hear(key, record, arrival, fetched.offset, config)
                self._metrics.records.labels(note.value).inc()
        except (UnreadableRecord, Rejected, UnknownStore) as error:
            shard.passed(fetched.offset, fetched.appended_at)
            return (), [self._park(fetched, error)]
        except Exception as error:  # a record that meets a mistake of ours must not stop all others
            log.exception("a record was parked for a mistake in the detector", offset=fetched.offset)
            shard.passed(fetched.offset, fetched.appended_at)
            return (), [self._park(fetched, error)]
        shard.passed(fetched.offset, 0 if record.imported else arrival)
        return effects, []

    async def _read(self, fetched: Fetched) -> CartActivity:
        record = await self._patiently(lambda: self._codec.decode(fetched.value))
        if not isinstance(record, CartActivity):
            raise UnreadableRecord(f"a {type(record).__name__} stands where CartActivity was expected")
        if record.cart_id and fetched.key != self._topic.key_of(record):
            raise Rejected(f"the key {fetched.key!r} is not of store {record.store_id} and cart {record.cart_id}")
        return record

    async def _settle(self, shard: Shard, made: Sequence[Effect], outgoing: Sequence[Outgoing]) -> None:
        if outgoing:
            await self._patiently(lambda: self._producer.send_outgoing(outgoing))
            self._count(made)
        changes = shard.changes()
        if changes:
            await self._keep(shard.partition, changes)
            shard.kept()

    async def _patiently(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until Kafka and the registry answer: what cannot be told or read must wait, never be skipped."""
        pause = 0.1
        while True:
            try:
                result = await attempt()
            except (KafkaUnavailable, RegistryError) as error:
                if not self.problem:
                    log.warning("waiting for Kafka or the registry", reason=str(error))
                self.problem = str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self.problem = ""
                return result

    def _wrapped(self, effects: Sequence[Effect]) -> list[Outgoing]:
        now = int(time.time() * 1000)
        return [
            self._envelopes.wrap(replace(effect, fired_at=now) if isinstance(effect, CartAbandoned) else effect)
            for effect in effects
        ]

    def _park(self, fetched: Fetched, error: Exception) -> Outgoing:
        reason = "unreadable" if isinstance(error, UnreadableRecord) else type(error).__name__
        self._metrics.parked.labels(reason).inc()
        log.warning("parked", reason=reason, detail=str(error), partition=fetched.partition, offset=fetched.offset)
        parking = Parking(
            reason=reason,
            detail=str(error),
            topic=self._topic.full_name,
            partition=fetched.partition,
            offset=fetched.offset,
            parked_at=int(time.time() * 1000),
        )
        return park(self._dead_letters.full_name, fetched.key, fetched.value, fetched.headers, parking)

    def _count(self, made: Sequence[Effect]) -> None:
        now = time.time()
        for effect in made:
            self._metrics.effects.labels(type(effect).__name__).inc()
            if isinstance(effect, CartAbandoned):
                self._metrics.levels.labels(str(effect.level_seconds)).inc()
                if not effect.imported:
                    self._metrics.lateness.observe(max(0.0, now - effect.due_at / 1000))

    def _measure(self, shard: Shard) -> None:
        name = str(shard.partition)
        self._metrics.lag.labels(name).set(self.lag(shard.partition))
        self._metrics.timers.labels(name).set(len(shard.timers))
        self._metrics.clock_behind.labels(name).set(max(0.0, time.time() - shard.clock.now / 1000))
