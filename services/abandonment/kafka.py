"""The seam to Faust 0.15.3: all that uses its private parts stands here.

- A fetch at the end of the log waits `fetch_wait_ms` (Faust fixes 1.5 s).
- Every fetch tells where the log ended and when it was asked: the clock of an idle partition.
- An application without a web server, leader topic or topics of its own making, that runs inside another's loop.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest
from faust.transport.drivers import aiokafka as driver
from mode.threads import WorkerThread
from yarl import URL


@dataclass(frozen=True, slots=True)
class End:
    """A fetch sent at that time (ms) found the log ending there."""

    offset: int
    sent_at: int


class SteadyClock:
    """Wall time that a step of the wall clock does not move: the time of the start and what has passed since."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now_ms(self) -> int:
        return int((self._offset + time.monotonic()) * 1000)


class Ends:
    """The last known end of each partition (topic, partition). Written by the consumer's thread, one entry at a time."""

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._ends: dict[tuple[str, int], End] = {}

    def get(self, topic: str, partition: int) -> End | None:
        return self._ends.get((topic, partition))

    def watch(self, kafka: AIOKafkaConsumer) -> None:
        """Note what the consumer's fetches return."""
        client = kafka._client  # the one place through which every request goes
        send = client.send

        async def watched(node_id: int, request: Any, **more: Any) -> Any:
            if not isinstance(request, FetchRequest):
                return await send(node_id, request, **more)
            sent_at = self._clock.now_ms()
            response = await send(node_id, request, **more)
            self._note(response, sent_at)
            return response

        client.send = watched

    def _note(self, response: Any, sent_at: int) -> None:
        for topic, partitions in response.topics:
            for partition, error, high_water, *_ in partitions:
                if error == 0:
                    self._ends[(topic, partition)] = End(high_water, sent_at)


class _Thread(WorkerThread):
    """Does not keep a process alive whose application crashed: Faust may leave the thread behind."""

    def __init__(self, service: Any, **more: Any) -> None:
        super().__init__(service, **more)
        self.daemon = True


def quieten() -> None:
    """Faust and its client tell of every group step and draw tables: only what they warn of is for an operator. A tick
    that took longer than its interval is no fault: the clock's lateness is measured."""
    for name in ("faust", "mode", "aiokafka", "services.abandonment.kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mode.timers").setLevel(logging.ERROR)


def make_app(name: str, *, bootstrap: str, ends: Ends, fetch_wait_ms: int, session_timeout_seconds: float) -> faust.App:
    """A Faust application that reads with our transport; its name is the consumer group's."""

    class ConsumerThread(driver.AIOKafkaConsumerThread):
        Worker = _Thread

        def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
            kafka = super()._create_worker_consumer(transport)
            kafka._fetch_max_wait_ms = fetch_wait_ms
            ends.watch(kafka)
            return kafka

    class Consumer(driver.Consumer):
        def _new_consumer_thread(self) -> ConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer

    class App(faust.App):
        def _new_transport(self) -> Any:
            return Transport(self.conf.broker_consumer, self)

    servers = [URL(f"kafka://{server.strip()}") for server in bootstrap.split(",")]
    return App(
        name,
        broker=servers,
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=session_timeout_seconds,
        broker_heartbeat_interval=session_timeout_seconds / 3,
        broker_commit_interval=1.0,
        producer_acks=-1,
        stream_wait_empty=True,
    )
