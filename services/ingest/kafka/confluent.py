"""confluent-kafka's producer: used where `kafka_machine` is not built, and does the same."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from services.ingest.kafka.parcel import parts
from services.ingest.kafka.seam import NOTHING, Failed, Heard, Parcelled, QueueFull
from trolleybus.envelope import Headers, Outgoing

CLOSING_S = 0.5
Settled = list[tuple[object, str | None]]


class _Batch:
    """Records that were handed over together; confluent-kafka calls it for each. Where not all were taken, it is never
    called for the last."""

    __slots__ = ("error", "left", "settled", "token")

    def __init__(self, token: object, records: int, settled: Settled) -> None:
        self.token = token
        self.left = records
        self.settled = settled
        self.error: str | None = None

    def __call__(self, error: KafkaError | None, _message: object) -> None:
        self.left -= 1
        if error is not None and self.error is None:
            self.error = error.str()
        if not self.left:
            self.settled.append((self.token, self.error))


class Confluent:
    """As seam.Kafka says. The settings are librdkafka's."""

    def __init__(self, settings: Mapping[str, object], logger: logging.Logger) -> None:
        self._settled: Settled = []
        self._all_down = False
        self._producer: Producer | None = Producer({**settings, "error_cb": self._on_error}, logger=logger)

    def __len__(self) -> int:
        return len(self._open())

    def hand_over(self, records: Sequence[Outgoing | Parcelled], token: object) -> None:
        produce = self._open().produce
        if not records:
            raise ValueError("there is no record to hand over")
        batch = _Batch(token, len(records), self._settled)
        try:
            for one in records:
                value, key, headers = _parts(one)
                produce(one.topic, value, key, on_delivery=batch, headers=list(headers))
        except BufferError:
            raise QueueFull("librdkafka's queue is full") from None
        except KafkaException as error:
            raise _failed(error) from error

    def heard(self) -> Heard:
        fatal: str | None = None
        try:
            self._open().poll(0)
        except KafkaException as error:  # Of what is fatal, and only once.
            fatal = error.args[0].str()
        if not self._settled and fatal is None and not self._all_down:
            return NOTHING
        heard = Heard(self._settled.copy(), fatal, self._all_down)
        self._settled.clear()
        self._all_down = False
        return heard

    def wake(self, fd: int) -> None:
        """confluent-kafka has no way to be told of this for a producer."""

    def purge(self) -> None:
        self._open().purge()

    def ask(self, timeout_s: float) -> None:
        producer = self._producer
        if producer is None:
            raise Failed(KafkaError._DESTROY, "the producer is closed", is_fatal=False)
        try:
            producer.list_topics(timeout=timeout_s)
        except KafkaException as error:
            raise _failed(error) from error

    def close(self) -> None:
        producer, self._producer = (
            self._producer,
            None,
        )  # Who lets it go last, ends it; an `ask` under way holds it too.
        if producer is not None and len(producer):
            producer.purge()
            with suppress(KafkaException):  # It keeps for ever what it was to call for records that nobody hears of.
                producer.flush(CLOSING_S)
        self._settled.clear()

    def _open(self) -> Producer:
        if self._producer is None:
            raise RuntimeError("this producer is closed")
        return self._producer

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tries again by itself; what is fatal to it is raised by poll."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = True


def _parts(record: Any) -> tuple[bytes | None, bytes, Headers]:
    parcel = None if type(record) is Outgoing else getattr(record, "parcel", None)
    if type(parcel) is bytes:
        return parts(parcel)
    return record.value, record.key, record.headers


def _failed(error: KafkaException) -> Failed:
    inner = error.args[0]
    return Failed(inner.code(), inner.str(), is_fatal=inner.code() == KafkaError._FATAL)
