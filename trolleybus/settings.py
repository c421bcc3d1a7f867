"""Settings of a service: environment variables without prefix, checked at the start, with a sentence for each mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SECRET_MIN_LENGTH = 32
HOW_TO_MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class SettingsError(Exception):
    """The environment lacks or misstates a setting; the text says which and what to do."""


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Secret = Annotated[SecretStr, Field(min_length=SECRET_MIN_LENGTH)]
CommaSeparated = BeforeValidator(_split_commas)
LogLevel = Literal["debug", "info", "warning", "error"]


class ServiceSettings(BaseSettings):
    """What every service needs; a service adds its own in services/<name>/settings.py and names itself in `service`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    service: ClassVar[str]
    remedies: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("installation_secret", "signing_keys", "operator_token"), HOW_TO_MAKE_ONE
    )
    """What to do about a setting that is missing or wrong, by its name."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    log_level: LogLevel = "info"

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    schema_registry_url: str = "http://127.0.0.1:8081"
    topic_prefix: str = ""
    postgres_url: str = Field("postgresql://trolleybus@127.0.0.1:5432/postgres", repr=False)
    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False)

    ingest_url: str = "http://127.0.0.1:8101"
    abandonment_url: str = "http://127.0.0.1:8102"
    campaigns_url: str = "http://127.0.0.1:8103"
    messaging_url: str = "http://127.0.0.1:8104"
    analytics_url: str = "http://127.0.0.1:8105"

    installation_secret: Secret
    signing_keys: Annotated[tuple[Secret, ...], NoDecode, CommaSeparated, Field(min_length=1)]
    operator_token: Secret

    max_body_bytes: int = Field(1_048_576, ge=1)
    drain_notice_seconds: float = Field(0.0, ge=0)
    drain_timeout_seconds: float = Field(10.0, gt=0)

    @field_validator("ingest_url", "abandonment_url", "campaigns_url", "messaging_url", "analytics_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("postgres_url")
    @classmethod
    def _postgres_address(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    @property
    def database_url(self) -> str:
        """The service's own database on the server of `postgres_url`: user, host and parameters kept."""
        address, mark, parameters = self.postgres_url.partition("?")
        scheme, _, rest = address.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}/trolleybus_{self.service}{mark}{parameters}"

    @classmethod
    def load(cls, env_file: Path | None = None) -> Self:
        """From the environment; `env_file` fills in what the environment does not name. Raises SettingsError."""
        try:
            return cls(_env_file=env_file)  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        except ValidationError as error:
            raise SettingsError(_explain(cls, error)) from None


class WorkerSettings(ServiceSettings):
    """Of a service that can be several processes."""

    workers: int = Field(1, ge=1, le=64, description="Processes that share the port")


def _explain(cls: type[ServiceSettings], error: ValidationError) -> str:
    sentences = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        wrong = "is not set" if problem["type"] == "missing" else f"is wrong: {problem['msg']}"
        remedy = f"; {cls.remedies[name]}" if name in cls.remedies else ""
        # A rule about several settings together names them in its own message.
        sentences.append(f"{name.upper()} {wrong}{remedy}" if name else problem["msg"])
    listed = "\n".join(f"  {sentence}" for sentence in dict.fromkeys(sentences))
    return f"settings of {cls.service} (deploy/reference.env explains each):\n{listed}"


# --- deploy/reference.env ---------------------------------------------------------------------------------------------

SHARED_SECTION = "every service"
_SECTION = re.compile(r"## (.+)")
_ENTRY = re.compile(r"#([A-Z][A-Z0-9_]*)=(.*)")


def reference_problems(text: str, classes: Iterable[type[ServiceSettings]]) -> list[str]:
    """What keeps the commented reference from being the truth about these classes; each problem says what to write.

    The reference has a section for what all services share and one for each service: "## ingest", then for each
    setting at least one line "# meaning, unit" and a line "#NAME=default".
    """
    expected = {SHARED_SECTION: _defaults(ServiceSettings, ServiceSettings.model_fields.keys() - {"port"})}
    for cls in classes:
        expected[cls.service] = _defaults(cls, {name for name in cls.model_fields if _is_own(cls, name)})
    found, problems = _parsed(text)
    for section, settings in expected.items():
        listed = found.get(section, {})
        for name, default in settings.items():
            if name not in listed:
                problems.append(f"section {section!r} lacks: #{name}={default}")
            elif listed[name] != default:
                problems.append(f"section {section!r} says #{name}={listed[name]}, the code says: #{name}={default}")
        problems += [f"section {section!r} has {name}, the code has not" for name in listed if name not in settings]
    return problems


def _parsed(text: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    found: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    section, before = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _SECTION.fullmatch(line):
            section = heading[1]
        elif entry := _ENTRY.fullmatch(line):
            if not before.startswith("# "):
                problems.append(f"line {number}: {entry[1]} has no comment above it")
            if entry[1] in found.setdefault(section, {}):
                problems.append(f"line {number}: {entry[1]} stands twice in section {section!r}")
            found[section][entry[1]] = entry[2]
        elif line and not line.startswith("# "):
            problems.append(f"line {number} is neither a comment nor #NAME=default: {line}")
        before = line
    return found, problems


def _is_own(cls: type[ServiceSettings], name: str) -> bool:
    shared = ServiceSettings.model_fields.get(name)
    return shared is None or shared.get_default() != cls.model_fields[name].get_default()


def _defaults(cls: type[ServiceSettings], names: Iterable[str]) -> dict[str, str]:
    fields = cls.model_fields
    return {
        name.upper(): _as_text(fields[name].get_default(call_default_factory=True)) for name in fields if name in names
    }


def _as_text(default: Any) -> str:
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple | set | frozenset):
        return ",".join(_as_text(part) for part in default)
    return str(default)
