"""Sends records to Kafka by librdkafka, and tells when every in-sync replica has them.

librdkafka works in threads of its own. What it has to tell is fetched on the event loop, while something is under way each
millisecond, so that one look settles many requests and no lock is fought over.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Producer

from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

LOOK_S = 0.001
LOOK_IDLE_S = 0.25
ASK_AGAIN_S = 1.0
LARGEST_BATCH = 1_040_000
"""Bytes; Kafka's own bound for a batch is 1,048,588."""

logger = get_logger(__name__)

Done = Callable[[KafkaUnavailable | None], None]
"""Called once: with None when every in-sync replica has all of it, else with what went wrong."""


class QueueFull(Exception):
    """librdkafka holds as much as it may; not all was sent, a retry carries the same ids."""


class _Delivery:
    """Records that were handed over together; librdkafka calls it for each. Stands among the settled after the last."""

    __slots__ = ("error", "left", "settled", "until")

    def __init__(self, records: int, until: float, settled: list["_Delivery"]) -> None:
        self.left = records
        self.until = until
        self.settled = settled
        self.error: KafkaUnavailable | None = None

    def __call__(self, error: KafkaError | None, _message: object) -> None:
        self.left -= 1
        if error is not None:
            self.error = KafkaUnavailable(f"Kafka refused a record: {error}")
        if not self.left:
            self.settled.append(self)


@contextmanager
def _unhurried_threads() -> Iterator[None]:
    """Threads that begin in here do not interrupt others when they wake: on one core librdkafka's did for nearly each
    record. (Linux's SCHED_BATCH, which threads inherit; sched(7).)"""
    if not hasattr(os, "SCHED_BATCH"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):  # Of a sandbox that forbids it.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, *before)


class Sender:
    """An idempotent producer with acks from all in-sync replicas, partitioning by murmur2 as all clients here do.

    `timeout_s` bounds how long a send may take; `most_records` and `most_bytes` what librdkafka holds.
    """

    def __init__(self, bootstrap: str, *, timeout_s: float, most_records: int, most_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._settings = {
            "bootstrap.servers": bootstrap,
            "client.id": "trolleybus-ingest",
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "compression.type": "lz4",
            "message.max.bytes": LARGEST_BATCH,
            # Given up before the caller is answered: what was answered with 503 is not written a minute later.
            "message.timeout.ms": max(100, round(timeout_s * 800)),
            "queue.buffering.max.messages": most_records,
            "queue.buffering.max.kbytes": max(1, most_bytes // 1024),
            "reconnect.backoff.max.ms": 1000,
            "api.version.request.timeout.ms": 2000,
            "log_level": 3,  # Errors: what it tries again by itself is no news.
            "error_cb": self._on_error,
        }
        self._kafka: Producer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[_Delivery, Done] = {}  # The oldest first.
        self._settled: list[_Delivery] = []
        self._looking: asyncio.TimerHandle | None = None
        self._is_away = True  # Until it has answered.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._kafka = self._made()
        await self._ask()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for what is still under way, but no longer than a send may take."""
        until = time.monotonic() + self._timeout_s
        while self._kafka is not None and len(self._kafka) and time.monotonic() < until:
            self._poll()
            await asyncio.sleep(LOOK_S)
        kafka, self._kafka = self._kafka, None
        if self._looking is not None:
            self._looking.cancel()
        for delivery in list(self._waiting):
            self._end(delivery, KafkaUnavailable("the gateway stopped before Kafka acknowledged"))
        if kafka is not None:
            kafka.purge()

    async def run(self) -> None:
        """Hears of what happens while nothing is sent, and asks for Kafka while it is away, until cancelled."""
        asked = 0.0
        while True:
            await asyncio.sleep(LOOK_IDLE_S)
            self._poll()
            if self._is_away and time.monotonic() - asked > ASK_AGAIN_S:
                asked = time.monotonic()
                await self._ask()

    def status(self) -> PartStatus:
        return PartStatus(ok=not self._is_away, detail="no broker answers" if self._is_away else "")

    def send(self, outgoing: Sequence[Outgoing], done: Done) -> None:
        """Hands records over; `done` is called later, after the last acknowledgement, with KafkaUnavailable where one is
        missing. Order is kept within a key. Raises KafkaUnavailable or QueueFull where not all were taken: then it is not
        called.
        """
        kafka = self._kafka
        if kafka is None or self._loop is None:
            raise RuntimeError("the sender is used outside its `async with`")
        delivery = _Delivery(len(outgoing), self._loop.time() + self._timeout_s, self._settled)
        produce = kafka.produce
        try:
            for one in outgoing:
                produce(one.topic, one.value, one.key, on_delivery=delivery, headers=list(one.headers))
        except BufferError:
            raise QueueFull("librdkafka's queue is full") from None
        except KafkaException as error:
            if error.args[0].code() == KafkaError._FATAL:
                self._replace(kafka, error.args[0])
            raise KafkaUnavailable(f"Kafka takes no record: {error.args[0]}") from error
        self._waiting[delivery] = done
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Settles all that was delivered since the last look, and gives up what has waited too long."""
        self._looking = None
        if self._kafka is None or self._loop is None:
            return
        self._poll()
        now = self._loop.time()
        for delivery in list(takewhile(lambda one: one.until <= now, self._waiting)):
            self._end(delivery, KafkaUnavailable(f"Kafka did not acknowledge within {self._timeout_s:g} s"))
        if self._waiting and self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _end(self, delivery: _Delivery, error: KafkaUnavailable | None) -> None:
        done = self._waiting.pop(delivery, None)
        if done is None:
            return  # It was given up before, or not all of it was taken.
        if error is None:
            self._is_away = False
        try:
            done(error)
        except Exception:  # Others wait for their word.
            logger.exception("what waited for an acknowledgement failed on it")

    def _made(self) -> Producer:
        with _unhurried_threads():
            return Producer(self._settings, logger=logging.getLogger(__name__))

    async def _ask(self) -> None:
        """Whether a broker answers."""
        kafka = self._kafka
        if kafka is None:
            return
        try:
            await asyncio.to_thread(kafka.list_topics, timeout=ASK_AGAIN_S)
        except KafkaException as error:
            self._is_away = True
            logger.warning("kafka does not answer", error=str(error.args[0]))
        else:
            self._is_away = False

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka tries again by itself; only what is fatal to it is not undone by that."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_away = True

    def _poll(self) -> None:
        """Hears what librdkafka has to tell. What is fatal to it, it raises here, once."""
        kafka = self._kafka
        if kafka is None:
            return
        try:
            kafka.poll(0)
        except KafkaException as error:
            self._replace(kafka, error.args[0])
        settled = self._settled.copy()
        self._settled.clear()
        for delivery in settled:
            self._end(delivery, delivery.error)

    def _replace(self, useless: Producer, error: KafkaError) -> None:
        """A producer that lost its place in the order of its records takes none any more; a new one begins anew."""
        if useless is not self._kafka:
            return
        logger.error("a new producer takes the place of one that can send no more", error=str(error))
        self._kafka = self._made()
        useless.purge()
        with suppress(KafkaException):  # Those who wait for it hear so now; it has been told of already.
            useless.poll(0)
