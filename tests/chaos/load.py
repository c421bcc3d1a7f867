"""Puts shoppers' records on cart.activity with librdkafka, at a pace with pauses, partitions that fall silent and settings
that change in flight."""

from __future__ import annotations

import io
import struct
import threading
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaError, Producer
from fastavro import schemaless_writer

from tests.chaos.shoppers import MEAN_PAUSE_S, Setting, Shoppers, Told

Stores = dict[str, list[tuple[tuple[int, ...], int]]]  # What each store's setting may be: levels and expiry in seconds.
_Headers = dict[str, str | bytes | None]

STEP_S = 0.02
SILENT_SHARE = 1.35  # So many more shoppers, for those who wait because their partition is silent.
GATEWAYS = 4
CATCH_UP = 3  # Times the pace that is not passed after a pause.
STORES: Stores = {
    "north": [((4, 9, 20), 3_600), ((3, 7), 3_600), ((2, 4, 8, 14, 19), 7_200)],
    "south": [((4, 9, 20), 30), ((5, 11), 25), ((6,), 35)],
    "west": [((8,), 2_592_000), ((4, 12), 2_592_000)],
}
LONG = 600  # An expiry of so many seconds lies after any run.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Events a second while there are any; seconds of flow and of silence by turns; seconds between changes of setting."""

    rate: int
    flow: float = 70.0
    silence: float = 22.0
    change: float = 25.0
    imports: float = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to write: the schemas with the ids that the registry gave."""

    bootstrap: str
    activity: str
    stores: str
    partitions: int
    schemas: dict[str, tuple[int, Any]]  # by record


def silence_after(stores: Stores) -> int:
    """After so many seconds of silence nothing is due for long."""
    return 1 + max(
        expiry if expiry < LONG else max(levels) for choices in stores.values() for levels, expiry in choices
    )


class Load:
    """Runs in a thread until stopped; `sent` counts the records. Several producers, as there are several gateways: a shopper's
    records come by any of them."""

    def __init__(self, target: Target, pace: Pace, stores: Stores, seed: int) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.refused: list[str] = []
        self.settings: list[Setting] = []
        self._target, self._pace = target, pace
        self._random = Random(f"load {seed}")
        self._shoppers = Shoppers(
            Random(f"shoppers {seed}"), stores, max(1, round(pace.rate * MEAN_PAUSE_S * SILENT_SHARE))
        )
        self._stop = threading.Event()
        self._silent: tuple[frozenset[int], int] = (frozenset(), 0)
        self._producers = [_producer(target.bootstrap) for _ in range(GATEWAYS)]

    def open_stores(self) -> None:
        """The first settings; returns when Kafka has them."""
        for setting in self._shoppers.settings():
            self._publish(setting)

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Until `stop`; returns when Kafka has everything. Raises OSError for what it refused."""
        began = time.monotonic()
        changed, imported, flowing = began, began, True
        self._shoppers.begin(_now())
        last = began
        while not self._stop.wait(STEP_S):
            now = time.monotonic()
            most, last = round(self._pace.rate * (now - last) * CATCH_UP), now
            into = (now - began) % (self._pace.flow + self._pace.silence)
            flowing = into < self._pace.flow
            if not flowing:
                self._poll()
                continue
            if now - changed > self._pace.change:
                changed = now
                self._publish(self._shoppers.change_setting())
            if now - imported > self._pace.imports:
                imported = now
                self._send_all(self._shoppers.history(_now(), self._pace.rate // 10))
            self._send_all(self._shoppers.due(_now(), most, self._silent_until))
        left = sum(producer.flush(120) for producer in self._producers)
        if left or self.refused:
            raise OSError(f"Kafka did not take {left} records of the load; refused: {self.refused[:3]}")

    def _silent_until(self, key: str) -> int:
        """Some partitions are silent for some seconds, others then."""
        chosen, until = self._silent
        now = _now()
        if now >= until:
            count = self._random.choice((0, 2, 4, 8))
            chosen = frozenset(self._random.sample(range(self._target.partitions), min(count, self._target.partitions)))
            until = now + self._random.randrange(3_000, 15_000)
            self._silent = chosen, until
        return until if partition_of(key.encode(), self._target.partitions) in chosen else 0

    def _send_all(self, records: Any) -> None:
        for told in records:
            self._send(told)
        self._poll()

    def _poll(self) -> None:
        for producer in self._producers:
            producer.poll(0)

    def _send(self, told: Told) -> None:
        if told.values is None:
            value, headers = b"no record", _Headers()
        else:
            value = self._encode("CartActivity", told.values)
            headers = _headers("CartActivity", told.values, told.key)
        producer = self._random.choice(self._producers)
        producer.produce(self._target.activity, value, told.key, on_delivery=self._delivered, headers=headers)
        self.sent += 1

    def _publish(self, setting: Setting) -> None:
        """A setting is on its topic before a record carries it."""
        values = {
            "id": f"{setting.store_id}-{setting.version}",
            "store_id": setting.store_id,
            "occurred_at": _now(),
            "version": setting.version,
            "currency": "EUR",
            "levels": list(setting.levels),
            "expiry_seconds": setting.expiry,
        }
        key = f"{setting.store_id}:{setting.version}"
        producer = self._producers[0]
        producer.produce(
            self._target.stores,
            self._encode("StoreConfig", values),
            key,
            headers=_headers("StoreConfig", values, key),
        )
        if producer.flush(120):
            raise OSError("Kafka did not take a setting")
        self.settings.append(setting)

    def _encode(self, record: str, values: dict[str, Any]) -> bytes:
        schema_id, schema = self._target.schemas[record]
        buffer = io.BytesIO()
        buffer.write(struct.pack(">bI", 0, schema_id))
        schemaless_writer(buffer, schema, values)
        return buffer.getvalue()

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.refused.append(str(error))


def _producer(bootstrap: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.timeout.ms": 600_000,
            "request.timeout.ms": 5_000,
            "socket.timeout.ms": 6_000,
            "retry.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 2,  # That brokers go away is known.
        }
    )


def partition_of(key: bytes, partitions: int) -> int:
    """As all producers of the house partition."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def _headers(record: str, values: dict[str, Any], key: str) -> _Headers:
    return {
        "ce_specversion": "1.0",
        "ce_id": values["id"],
        "ce_type": f"trolleybus.{record}",
        "ce_source": "/trolleybus/ingest",
        "ce_subject": key,
        "ce_storeid": values["store_id"],
        "content-type": "application/avro",
    }


def _now() -> int:
    return time.time_ns() // 1_000_000
