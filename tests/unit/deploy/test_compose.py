"""The containers' files hold to their specification and to the house's rules; nothing here needs an engine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SERVICES = ("ingest", "abandonment", "campaigns", "messaging", "analytics")
SECRETS = ("INSTALLATION_SECRET", "SIGNING_KEYS", "OPERATOR_TOKEN", "POSTGRES_PASSWORD", "INTEGRATION_KEYS")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """With YAML's merges resolved, as Compose reads it."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def containers(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = compose["services"]
    return services


def test_the_compose_file_holds_to_its_specification(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    assert set(SERVICES) < set(parsed.service_names())
    assert parsed.name == "trolleybus"


def test_a_misspelt_key_would_be_refused(compose: dict[str, Any]) -> None:
    wrong = yaml.safe_dump({**compose, "services": {**compose["services"], "kafka": {"imagge": "x:1"}}})
    with pytest.raises(ValueError, match="imagge"):
        PyCompose.from_yaml(wrong)


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_is_pinned_to_a_version(containers: dict[str, dict[str, Any]]) -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(bases) == 2
    for image in [*bases, *(container["image"] for container in containers.values())]:
        assert re.search(r":v?\d+\.\d+\.?\d*", image), image


def test_the_images_carry_the_version_of_the_project(containers: dict[str, dict[str, Any]]) -> None:
    from trolleybus import __version__

    for service in SERVICES:
        assert containers[service]["image"] == f"trolleybus-{service}:{__version__}"
        assert containers[service]["build"]["args"] == {"SERVICE": service}


def test_every_server_has_a_health_check_a_memory_limit_and_no_privileges(
    containers: dict[str, dict[str, Any]],
) -> None:
    for name, container in containers.items():
        assert "mem_limit" in container, name
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
        if name == "topics":
            assert container["restart"] == "no"
        else:
            assert "test" in container["healthcheck"], name
            assert container["restart"] == "unless-stopped", name


def test_ports_are_published_on_the_loopback_alone(containers: dict[str, dict[str, Any]]) -> None:
    published = [port for container in containers.values() for port in container.get("ports", [])]
    assert len(published) >= len(SERVICES)
    assert all(port.startswith("127.0.0.1:") for port in published), published


def test_a_service_has_the_same_address_inside_its_container_as_outside(containers: dict[str, dict[str, Any]]) -> None:
    for service in SERVICES:
        port = containers[service]["environment"]["PORT"]
        assert containers[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
        own = containers[service]["environment"][f"{service.upper()}_URL"]
        assert own == f"${{{service.upper()}_URL:-http://127.0.0.1:{port}}}"


def test_nothing_starts_before_what_it_needs_is_ready(containers: dict[str, dict[str, Any]]) -> None:
    for service in SERVICES:
        needs = dict(containers[service]["depends_on"])
        assert needs.pop("topics") == {"condition": "service_completed_successfully"}
        assert {"kafka", "registry"} <= set(needs)
        assert all(need == {"condition": "service_healthy"} for need in needs.values()), service
        environment = containers[service]["environment"]
        assert ("postgres" in needs) == ("POSTGRES_URL" in environment), service
        assert ("valkey" in needs) == ("REDIS_URL" in environment), service


def test_every_database_that_is_used_is_created(containers: dict[str, dict[str, Any]]) -> None:
    created = re.findall(
        r"^create database (\w+);$", (ROOT / "deploy/postgres/databases.sql").read_text(encoding="utf-8"), re.MULTILINE
    )
    used = {f"trolleybus_{name}" for name in SERVICES if "POSTGRES_URL" in containers[name]["environment"]}
    assert set(created) == used | {"registry"}


def test_secrets_come_from_outside_with_a_sentence_when_they_are_missing() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    for name in SECRETS:
        uses = re.findall(rf"\$\{{{name}[^}}]*\}}", text)
        assert uses, name
        assert all(use.startswith(f"${{{name}:?make one with ") for use in uses), uses
    assert not re.search(rf"(?:{'|'.join(SECRETS)}): (?!\$\{{)", text)


def test_every_setting_in_the_compose_file_is_one_of_the_services(containers: dict[str, dict[str, Any]]) -> None:
    known = set(
        re.findall(r"^#([A-Z][A-Z0-9_]+)=", (ROOT / "deploy/reference.env").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for service in SERVICES:
        assert set(containers[service]["environment"]) <= known, service


@pytest.mark.parametrize("name", [*SERVICES, "build"])
def test_an_image_installs_what_requirements_lock_pins(name: str) -> None:
    locked = _pins(ROOT / "requirements.lock")
    pins = _pins(ROOT / "deploy" / "requirements" / f"{name}.txt")
    assert pins, name
    for package, (version, hashes) in pins.items():
        assert package in locked, f"{package}: run `make lock`"
        assert (version, hashes) == locked[package], f"{package}: run `make lock`"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_installs_all_that_its_service_asks_for_and_no_other_extra(service: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra: {_name(line) for line in lines} for extra, lines in project["optional-dependencies"].items()}
    wanted = {_name(line) for line in project["dependencies"]} | extras[service]
    pins = set(_pins(ROOT / "deploy" / "requirements" / f"{service}.txt"))
    assert wanted <= pins
    tools = extras["stack"] | (extras["dev"] - wanted)
    assert not pins & tools


def test_prometheus_scrapes_every_service(containers: dict[str, dict[str, Any]]) -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "trolleybus")
    targets = {target for group in job["static_configs"] for target in group["targets"]}
    assert targets == {f"{service}:{containers[service]['environment']['PORT']}" for service in SERVICES}


def test_alerts_name_metrics_that_exist() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    named = {
        metric
        for group in rules["groups"]
        for rule in group["rules"]
        for metric in re.findall(r"\btrolleybus_\w+?(?=_bucket|\b)", rule["expr"])
    }
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "trolleybus")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert named
    for metric in named:
        # The client adds _total to a counter that was named without.
        assert f'"{metric}"' in code or f'"{metric.removesuffix("_total")}"' in code, metric


def test_only_what_an_image_needs_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        word.split("$")[0].rstrip("/")
        for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
        for word in line.split()[:-1]
    }
    for source in copied:
        assert any(source == root or source.startswith(f"{root}/") for root in allowed), source


def _pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version (with its marker) and hashes of each package."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in text.splitlines():
        if match := re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)", line):
            found[match[1]] = (match[2], frozenset(re.findall(r"--hash=(\S+)", line)))
    return found


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return match[0].lower().replace("_", "-")
