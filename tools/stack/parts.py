"""What a stack consists of, worked out from its state alone: any process can name, find and stop the parts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.stack.artefacts import Artefacts
from tools.stack.kafka import Broker, Detour
from tools.stack.ports import HOST, option, require_free, variable
from tools.stack.postgres import Postgres
from tools.stack.processes import Processes, Program
from tools.stack.registry import Registry
from tools.stack.state import State
from tools.stack.valkey import Valkey

SERVICES = ("ingest", "abandonment", "campaigns", "messaging", "analytics")


@dataclass(frozen=True)
class Parts:
    state: State
    directory: Path
    artefacts: Artefacts
    kafka_heap: str
    detours: Sequence[Detour] = ()

    @property
    def brokers(self) -> list[Broker]:
        return [
            Broker(
                number=number,
                brokers=self.state.brokers,
                first_port=self.state.ports.kafka,
                first_controller_port=self.state.ports.kafka_controller,
                heap=self.kafka_heap,
                directory=self.directory / f"kafka-{number}",
                classpath=self.artefacts.kafka_jars,
                detour=self.detours[number - 1] if self.detours else None,
            )
            for number in range(1, self.state.brokers + 1)
        ]

    @property
    def registry(self) -> Registry:
        ports = self.state.ports
        return Registry(
            port=ports.registry,
            management_port=ports.registry_management,
            directory=self.directory / "registry",
            home=self.artefacts.registry,
        )

    @property
    def postgres(self) -> Postgres:
        return Postgres(
            port=self.state.ports.postgres,
            directory=self.directory / "postgres",
            password=self.state.postgres_password,
        )

    @property
    def valkey(self) -> Valkey:
        return Valkey(port=self.state.ports.valkey, directory=self.directory / "valkey")

    @property
    def programs(self) -> dict[str, Program]:
        programs = [broker.program for broker in self.brokers]
        programs += [self.registry.program, self.postgres.program, self.valkey.program]
        return {program.name: program for program in programs}

    @property
    def ports(self) -> dict[str, int]:
        """The port that each part serves on."""
        serving = {broker.name: broker.port for broker in self.brokers}
        return {**serving, "registry": self.registry.port, "postgres": self.postgres.port, "valkey": self.valkey.port}

    def environment(self) -> dict[str, str]:
        """The services' settings."""
        ports = self.state.ports
        return {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(f"{HOST}:{broker.port}" for broker in self.brokers),
            "SCHEMA_REGISTRY_URL": self.registry.url,
            "POSTGRES_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            **{f"{service.upper()}_URL": f"http://{HOST}:{getattr(ports, service)}" for service in SERVICES},
            "INSTALLATION_SECRET": self.state.installation_secret,
            "SIGNING_KEYS": self.state.signing_key,
            "OPERATOR_TOKEN": self.state.operator_token,
            "INTEGRATION_KEYS": f"1:{self.state.integration_key}",
        }

    def require_free_ports(self) -> None:
        """Raises StackError for the first port that something else holds."""
        brokers = self.state.brokers
        for name, width in {
            "kafka": brokers,
            "kafka_controller": brokers,
            "registry": 1,
            "registry_management": 1,
            "postgres": 1,
            "valkey": 1,
        }.items():
            first = getattr(self.state.ports, name)
            for port in range(first, first + width):
                require_free(port, name.replace("_", " "), f"{option(name)} or {variable(name)}")

    async def start(self, processes: Processes) -> None:
        """All at once: none needs another."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._start_kafka(processes))
            tasks.create_task(processes.start(self.registry.program))
            tasks.create_task(self._start_postgres(processes))
            tasks.create_task(processes.start(self.valkey.program))

    async def _start_kafka(self, processes: Processes) -> None:
        for broker in self.brokers:
            await broker.prepare(self.state.cluster, self.artefacts.cache)
        async with asyncio.TaskGroup() as tasks:
            for broker in self.brokers:
                tasks.create_task(processes.start(broker.program))

    async def _start_postgres(self, processes: Processes) -> None:
        await self.postgres.prepare()
        await processes.start(self.postgres.program)
        await self.postgres.create_databases([f"trolleybus_{service}" for service in SERVICES])
