"""Writes artefacts.lock anew: `python -m tools.stack.relock`. Run it after a change of the versions below."""

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import jgo
from jgo.maven import MavenContext

from tools.stack.artefacts import LOCK, sha256_of

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
REGISTRY = "io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz"


def main() -> None:
    with TemporaryDirectory() as folder:
        resolved = Path(jgo.build(KAFKA, cache_dir=Path(folder)).path) / "jgo.lock.toml"
        jars = tomllib.loads(resolved.read_text(encoding="utf-8"))["dependencies"]
        group, name, version, classifier, packaging = REGISTRY.split(":")
        component = MavenContext(repo_cache=Path(folder), timeout=60).project(group, name).at_version(version)
        lines = [
            "# What the local stack downloads, with its sha256. Written by `python -m tools.stack.relock`.",
            "[kafka]",
            *sorted(f'"{jar["groupId"]}:{jar["artifactId"]}:{jar["version"]}" = "{jar["sha256"]}"' for jar in jars),
            "",
            "[registry]",
            f'"{REGISTRY}" = "{sha256_of(component.artifact(classifier, packaging).resolve())}"',
        ]
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
