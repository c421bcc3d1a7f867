"""Sends records to Kafka by librdkafka, and tells when every in-sync replica has them.

librdkafka works in threads of its own. What it has to tell is fetched on the event loop: when it says so, but not again at
once, and while something is under way each millisecond, so that one look settles many requests and no lock is fought over.
Before a look its threads are let run where they share the processor: they send what has lingered, and read what has come,
which is heard at once.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from types import TracebackType
from typing import NamedTuple, Self

from services.ingest.kafka.chosen import begun
from services.ingest.kafka.seam import Failed, Kafka, Parcelled, QueueFull
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

LOOK_S = 0.001
AGAIN_S, AGAIN_FOR_A_RECORD_S = 0.0004, 0.000002
"""How soon after a look that librdkafka asked for it may ask for another; and what each record under way adds to that, since
the more there are the more one look settles."""
LOOK_IDLE_S = 0.25
ASK_AGAIN_S = 1.0
LARGEST_BATCH = 1_040_000
"""Bytes; Kafka's own bound for a batch is 1,048,588."""

logger = get_logger(__name__)

Done = Callable[[KafkaUnavailable | None], None]
"""Called once: with None when every in-sync replica has all of it, else with what went wrong."""


class _Waiting(NamedTuple):
    """Who waits for records that were handed over together, and until when (seconds of the event loop)."""

    until: float
    done: Done


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
            "linger.ms": 0.5,
            "compression.type": "lz4",
            "message.max.bytes": LARGEST_BATCH,
            # Given up before the caller is answered: what was answered with 503 is not written a minute later.
            "message.timeout.ms": max(100, round(timeout_s * 800)),
            "queue.buffering.max.messages": most_records,
            "queue.buffering.max.kbytes": max(1, most_bytes // 1024),
            "reconnect.backoff.max.ms": 1000,
            "api.version.request.timeout.ms": 2000,
            "log_level": 3,  # Errors: what it tries again by itself is no news.
        }
        self._kafka: Kafka | None = None
        self._replaced: list[Kafka] = []  # Of some records they have not told yet.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[object, _Waiting] = {}  # By its token, the oldest first.
        self._looking: asyncio.TimerHandle | None = None
        self._woken_at = 0.0
        self._ears = -1, -1  # A pipe: librdkafka writes to its second end when there is something to hear.
        self._is_away = True  # Until it has answered.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ears = os.pipe()
        for end in self._ears:
            os.set_blocking(end, False)
        self._loop.add_reader(self._ears[0], self._woken)
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
        ending, self._kafka, self._replaced = [self._kafka, *self._replaced], None, []
        if self._looking is not None:
            self._looking.cancel()
        for token in list(self._waiting):
            self._end(token, KafkaUnavailable("the gateway stopped before Kafka acknowledged"))
        for kafka in ending:
            if kafka is not None:
                kafka.wake(-1)
                kafka.purge()
                await asyncio.to_thread(kafka.close)
        if self._loop is not None:
            self._loop.remove_reader(self._ears[0])
        for end in self._ears:
            os.close(end)

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

    def send(self, outgoing: Sequence[Outgoing | Parcelled], done: Done) -> None:
        """Hands records over, at least one; `done` is called later, after the last acknowledgement, with KafkaUnavailable
        where one is missing. Order is kept within a key. Raises KafkaUnavailable or QueueFull where not all were taken: then
        it is not called.
        """
        kafka = self._kafka
        if kafka is None or self._loop is None:
            raise RuntimeError("the sender is used outside its `async with`")
        token = object()
        try:
            kafka.hand_over(outgoing, token)
        except Failed as error:
            if error.is_fatal:
                self._replace(kafka, str(error))
            raise KafkaUnavailable(f"Kafka takes no record: {error}") from error
        self._waiting[token] = _Waiting(self._loop.time() + self._timeout_s, done)
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _woken(self) -> None:
        """There is something to hear."""
        os.read(self._ears[0], 512)
        now = time.perf_counter()
        under_way = len(self._kafka) if self._kafka is not None else 0
        if now - self._woken_at > AGAIN_S + under_way * AGAIN_FOR_A_RECORD_S:
            self._woken_at = now
            self._look()

    def _look(self) -> None:
        """Settles all that was delivered since the last look, and gives up what has waited too long."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = None
        if self._kafka is None or self._loop is None:
            return
        os.sched_yield()  # To librdkafka's threads, which interrupt nobody (see above).
        self._poll()
        now = self._loop.time()
        for token, _ in list(takewhile(lambda one: one[1].until <= now, self._waiting.items())):
            self._end(token, KafkaUnavailable(f"Kafka did not acknowledge within {self._timeout_s:g} s"))
        if self._waiting and self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _end(self, token: object, error: KafkaUnavailable | None) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is None:
            return  # It was given up before.
        if error is None:
            self._is_away = False
        try:
            waiting.done(error)
        except Exception:  # Others wait for their word.
            logger.exception("what waited for an acknowledgement failed on it")

    def _made(self) -> Kafka:
        with _unhurried_threads():
            kafka = begun(self._settings, logging.getLogger(__name__))
        kafka.wake(self._ears[1])
        return kafka

    async def _ask(self) -> None:
        """Whether a broker answers."""
        kafka = self._kafka
        if kafka is None:
            return
        try:
            await asyncio.to_thread(kafka.ask, ASK_AGAIN_S)
        except Failed as error:
            self._is_away = True
            logger.warning("kafka does not answer", error=str(error))
        else:
            self._is_away = False

    def _poll(self) -> None:
        """Hears what librdkafka has to tell."""
        kafka = self._kafka
        if kafka is None:
            return
        heard = kafka.heard()
        if heard.all_down:  # It tries again by itself; only what is fatal to it is not undone by that.
            self._is_away = True
        if heard.fatal is not None:
            self._replace(kafka, heard.fatal)
        settled = heard.settled if not self._replaced else [*heard.settled, *self._heard_of_replaced()]
        for token, error in settled:
            self._end(token, None if error is None else KafkaUnavailable(f"Kafka refused a record: {error}"))

    def _replace(self, useless: Kafka, error: str) -> None:
        """A producer that lost its place in the order of its records takes none any more; a new one begins anew."""
        if useless is not self._kafka:
            return
        logger.error("a new producer takes the place of one that can send no more", error=error)
        self._kafka = self._made()
        useless.wake(-1)
        useless.purge()
        self._replaced.append(useless)

    def _heard_of_replaced(self) -> list[tuple[object, str | None]]:
        """Who waits for what they gave up hears so; then they end, in a thread, since that takes a moment."""
        settled: list[tuple[object, str | None]] = []
        for kafka in self._replaced.copy():
            settled += kafka.heard().settled
            if not len(kafka) and self._loop is not None:
                self._replaced.remove(kafka)
                self._loop.run_in_executor(None, kafka.close)
        return settled


__all__ = ["Done", "QueueFull", "Sender"]
