"""Settings of a service: environment variables without prefix, checked at the start, with a sentence for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
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


def _explain(cls: type[ServiceSettings], error: ValidationError) -> str:
    sentences = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0])
        variable = name.upper()
        wrong = "is not set" if problem["type"] == "missing" else f"is wrong: {problem['msg']}"
        remedy = f"; {HOW_TO_MAKE_ONE}" if name in {"installation_secret", "signing_keys", "operator_token"} else ""
        sentences.append(f"{variable} {wrong}{remedy}")
    listed = "\n".join(f"  {sentence}" for sentence in dict.fromkeys(sentences))
    return f"settings of {cls.service} (deploy/reference.env explains each):\n{listed}"
