"""Apache Kafka without ZooKeeper: one broker, or three that replicate to each other; each is a controller too."""

import asyncio
import base64
import hashlib
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tools.stack import wheels
from tools.stack.errors import StackError
from tools.stack.ports import HOST
from tools.stack.probes import exchange
from tools.stack.processes import Program

# The smallest buffers and thread counts with which a broker stays quick at a developer's load. On few cores more threads only
# take turns.
_SMALL = {
    "num.network.threads": "1",
    "num.io.threads": "1",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.io.buffer.size": "65536",
}
# A dead broker or controller is noticed in about three seconds.
_WATCHFUL = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}


@dataclass(frozen=True, kw_only=True)
class Detour:
    """A second listener of a broker on `port`, whose clients are told to come by `advertised`, where something stands between."""

    port: int
    advertised: int


@dataclass(frozen=True, kw_only=True)
class Broker:
    number: int
    brokers: int
    first_port: int
    first_controller_port: int
    heap: str
    directory: Path
    classpath: Sequence[Path]
    detour: Detour | None = None

    @property
    def name(self) -> str:
        return f"kafka-{self.number}"

    @property
    def port(self) -> int:
        return self.first_port + self.number - 1

    @property
    def program(self) -> Program:
        return Program(
            name=self.name,
            command=(*self._java(self.heap), "kafka.Kafka", str(self._properties)),
            directory=self.directory,
            ready=self._in_cluster,
            stop_within_s=30,
        )

    async def prepare(self, cluster: str, cache: Path) -> None:
        """Writes the configuration and, the first time, formats the storage for this cluster."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings().items()))
        if self._data.exists():
            return
        checkpoint = await self._bootstrap_checkpoint(cache)
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        shutil.copyfile(checkpoint, fresh / "bootstrap.checkpoint")
        (fresh / "meta.properties").write_text(
            f"version=1\ncluster.id={cluster}\nnode.id={self.number}\ndirectory.id={new_id()}\n"
        )
        fresh.rename(self._data)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _java(self, heap: str) -> tuple[str, ...]:
        return (
            str(wheels.java()),
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "--sun-misc-unsafe-memory-access=allow",  # Kafka unmaps its files so; without this Java warns at each start
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
            "-cp",
            ":".join(map(str, self.classpath)),
        )

    def _settings(self) -> dict[str, str]:
        controller = self.first_controller_port + self.number - 1
        voters = ",".join(f"{n + 1}@{HOST}:{self.first_controller_port + n}" for n in range(self.brokers))
        copies, in_sync = str(self.brokers), str(max(1, self.brokers - 1))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.number),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "3",
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": "3",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": "3",
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            **self._detoured(controller),
            **_SMALL,
            **(_WATCHFUL if self.brokers > 1 else {}),
        }

    def _detoured(self, controller: int) -> dict[str, str]:
        if self.detour is None:
            return {}
        own = f"PLAINTEXT://{HOST}:{self.port}"
        return {
            "listeners": f"{own},DETOUR://{HOST}:{self.detour.port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"{own},DETOUR://{HOST}:{self.detour.advertised}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }

    async def _in_cluster(self) -> bool:
        """Whether this broker answers and counts itself in."""
        await exchange(self.port, b"", 0)
        admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{self.port}", request_timeout_ms=3000)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        except KafkaError:
            return False
        finally:
            await admin.close()
        return any(broker["node_id"] == self.number for broker in cluster["brokers"])

    async def _bootstrap_checkpoint(self, cache: Path) -> Path:
        """The feature levels a new log begins with. Kafka's own tool writes them; they are the same for every cluster of this
        version, so the tool, a Java start of its own, runs once a machine."""
        version = hashlib.sha256("".join(jar.name for jar in self.classpath).encode()).hexdigest()[:16]
        kept = cache / f"kafka-format-{version}.checkpoint"
        if kept.exists():
            return kept
        scratch = self.directory / "format"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        settings = {**self._settings(), "log.dirs": str(scratch / "data")}
        (scratch / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        format_ = ("kafka.tools.StorageTool", "format", "-t", new_id(), "-c", str(scratch / "server.properties"))
        done = await asyncio.to_thread(
            subprocess.run, (*self._java("64m"), *format_), capture_output=True, text=True, check=False, cwd=scratch
        )
        if done.returncode != 0:
            raise StackError(f"Kafka could not format its storage in {scratch}: {done.stdout}{done.stderr}")
        own = scratch / "bootstrap.checkpoint"
        (scratch / "data" / "bootstrap.checkpoint").rename(own)
        with suppress(FileExistsError):
            own.rename(kept)
        shutil.rmtree(scratch)
        return kept


def new_id() -> str:
    """A Kafka id: 22 characters, none of which could be read as an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
