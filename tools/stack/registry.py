"""Apicurio Registry with Confluent's API, its schemas in a file."""

from dataclasses import dataclass
from pathlib import Path

from tools.stack import wheels
from tools.stack.ports import HOST
from tools.stack.probes import http_ok
from tools.stack.processes import Program


@dataclass(frozen=True, kw_only=True)
class Registry:
    port: int
    management_port: int
    directory: Path
    home: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    @property
    def program(self) -> Program:
        settings = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": str(self.port),
            "quarkus.management.host": HOST,
            "quarkus.management.port": str(self.management_port),
            "apicurio.rules.global.compatibility": "FULL_TRANSITIVE",
            "apicurio.rules.global.validity": "FULL",
            "apicurio.storage.sql.kind": "h2",
            # Without a delay a schema that was acknowledged survives the process.
            "apicurio.datasource.url": f"jdbc:h2:file:{self.directory / 'registry'};WRITE_DELAY=0",
            "quarkus.log.level": "WARN",
            'quarkus.log.category."io.apicurio".level': "WARN",
            "quarkus.http.access-log.enabled": "false",
        }
        return Program(
            name="registry",
            command=(
                str(wheels.java()),
                "-Xmx160m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *(f"-D{key}={value}" for key, value in settings.items()),
                "-jar",
                str(self.home / "quarkus-run.jar"),
            ),
            directory=self.directory,
            ready=lambda: http_ok(self.management_port, "/health/ready"),
        )
