"""Faust as the frame: who owns which partition, who stands by, who commits. Its private parts (0.15.3) stand here alone.

Faust's own consumer keeps the membership and fetches nothing: records are read below it (feed.py), the table's rows are
kept and restored below it too (journal.py, restore.py). What Faust drops, skips or seeks around a rebalance
touches no record. The price is one more connection to the brokers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from mode.threads import WorkerThread
from yarl import URL

TABLE = "carts"
LONG = 30 * 86_400.0
"""Seconds after which Faust's client would leave the group because nobody takes records from it. Nobody does."""

ANSWERS_WITHIN_S = 5.0


class WorkerStopped(Exception):
    """Faust stopped by itself; the log has said why."""


@dataclass(frozen=True, slots=True)
class Share:
    """What this worker was given in one generation of the group: partition numbers."""

    generation: int = -1
    active: frozenset[int] = frozenset()
    standby: frozenset[int] = frozenset()


class Member(Protocol):
    """What is told of the group's rebalances."""

    async def release(self) -> None:
        """The partitions are shared out anew: nothing of ours is under way when this returns."""

    def take(self, share: Share) -> None:
        """The new share."""


def changelog_name(group: str) -> str:
    """The topic that Faust names for the table."""
    return f"{group}-{TABLE}-changelog"


def quieten() -> None:
    """Faust and its client tell of every group step and draw tables: only what they warn of is for an operator."""
    for name in ("faust", "mode", "aiokafka", __name__):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mode.timers").setLevel(logging.ERROR)


class Frame:
    """A member of the group; its name is the group's."""

    def __init__(
        self,
        group: str,
        *,
        bootstrap: str,
        source: str,
        partitions: int,
        standby_replicas: int,
        session_timeout_seconds: float,
        url: str,
        directory: Path,
        member: Member,
    ) -> None:
        self._source = source
        self._changelog = changelog_name(group)
        self._app: Any = _app(member, source, self._changelog)(
            group,
            broker=[URL(f"kafka://{server.strip()}") for server in bootstrap.split(",")],
            store="memory://",
            datadir=directory,
            canonical_url=url,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=standby_replicas,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=1024,
            broker_session_timeout=session_timeout_seconds,
            broker_heartbeat_interval=min(1.0, session_timeout_seconds / 3),
            broker_max_poll_interval=LONG,
            producer_acks=-1,
        )
        self._app.topics.add(self._app.topic(source, partitions=partitions, value_serializer="raw"))
        self._app.Table(TABLE, partitions=partitions, key_type=bytes, value_type=bytes)

    async def run(self) -> None:
        """Take part until cancelled. Raises WorkerStopped when Faust gives up."""
        app = self._app
        try:
            await app.start()
            while not (app.crashed or app.should_stop):  # noqa: ASYNC110 - Faust gives no event for both
                await asyncio.sleep(0.2)
            raise WorkerStopped(f"Faust stopped: {app.crash_reason!r}")
        finally:
            await app.stop()

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit the source's next offsets as a member of the present generation; False where the group refuses.

        Observers of lag read these; the state's own row is what a successor goes by.
        """
        thread = self._app.consumer._thread
        places = {TopicPartition(self._source, number): offset for number, offset in offsets.items()}

        async def committing() -> bool:
            try:
                await thread._ensure_consumer().commit(places)
            except KafkaError:
                return False
            return True

        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return bool(await thread.call_thread(committing))
        except TimeoutError:
            return False

    def owner_of(self, partition: int) -> str:
        """URL of the worker that owns a partition, as the last assignment told; "" where none is known."""
        owners: Mapping[Any, URL] = self._app.assignor._tps_url
        return str(owners.get(faust.types.TP(self._changelog, partition), ""))


def _app(member: Member, source: str, changelog: str) -> type[faust.App]:
    """The application's class: a transport whose consumer sleeps, and tables that are restored elsewhere."""

    class ConsumerThread(driver.AIOKafkaConsumerThread):
        Worker = _Thread

        async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
            kafka: AIOKafkaConsumer = self._ensure_consumer()
            kafka.pause(*(TopicPartition(*place) for place in assigned))
            await super().on_partitions_assigned(assigned, generation_id)

        def verify_event_path(self, now: float, tp: Any) -> None:
            """Nothing is meant to flow here."""

        def verify_recovery_event_path(self, now: float, tp: Any) -> None:
            """Nor here."""

    class Consumer(driver.Consumer):
        def _new_consumer_thread(self) -> ConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer

    class Tables(TableManager):
        async def on_start(self) -> None:
            await self._update_channels()

        async def wait_until_recovery_completed(self) -> bool:
            return False

        def on_partitions_revoked(self, revoked: set[Any]) -> None:
            """The rows are not Faust's."""

        async def on_rebalance(self, *_: Any) -> None:
            await self._update_channels()
            assignor = self.app.assignor
            member.take(
                Share(
                    self.app.consumer_generation_id,
                    frozenset(tp.partition for tp in assignor.assigned_actives() if tp.topic == source),
                    frozenset(tp.partition for tp in assignor.assigned_standbys() if tp.topic == changelog),
                )
            )
            self.on_actives_ready()
            self.on_standbys_ready()

    class App(faust.App):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, TableManager=Tables, **options)

        def _new_transport(self) -> Any:
            return Transport(self.conf.broker_consumer, self)

        def on_rebalance_return(self) -> None:
            super().on_rebalance_return()
            self.on_rebalance_end()

        async def _on_partitions_revoked(self, revoked: set[Any]) -> None:
            await member.release()
            await super()._on_partitions_revoked(revoked)

    return App


class _Thread(WorkerThread):
    """Does not keep a process alive whose application crashed: Faust may leave the thread behind."""

    def __init__(self, service: Any, **more: Any) -> None:
        super().__init__(service, **more)
        self.daemon = True
