"""Settings of the gateway, beside those of every service."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.ingest.countries import Countries
from services.ingest.integrations.sealing import HOW_TO_MAKE_ONE, KeyRing
from trolleybus.settings import ServiceSettings, WorkerSettings


class IngestSettings(WorkerSettings):
    """What bounds the gateway: sizes, rates, and how long it waits for Kafka."""

    service: ClassVar[str] = "ingest"
    remedies: ClassVar[Mapping[str, str]] = {
        **ServiceSettings.remedies,
        "integration_keys": f"make one with: {HOW_TO_MAKE_ONE}",
    }

    port: int = Field(8101, ge=0, le=65535)

    integration_keys: SecretStr

    max_events_per_request: int = Field(500, ge=1)
    rate_limit_per_second: int = Field(2_000, ge=1, description="Events a store may send, a second and endpoint")
    rate_limit_burst: int = Field(5_000, ge=1, description="Events at once after a pause; more than a full request")
    rate_limit_key_share: float = Field(
        0.8, gt=0, le=1, description="The part of its store's rate that one key may use"
    )
    max_records_in_flight: int = Field(20_000, ge=1, description="Records that wait for Kafka; more are answered 503")
    max_record_bytes_in_flight: int = Field(67_108_864, ge=1, description="As above, in bytes")
    max_requests_waiting: int = Field(
        2_000, ge=1, description="Requests that wait for their turn; more are answered 503"
    )
    ack_timeout_seconds: float = Field(5.0, gt=0, description="After this without an acknowledgement: 503")
    webhook_answer_seconds: float = Field(3.0, gt=0, description="After this a webhook is answered 503, to be retried")
    slow_ack_seconds: float = Field(2.0, gt=0, description="While one waits longer than this, others get 503 at once")
    bot_events_per_minute: int = Field(300, ge=1, description="A shopper who does more in a minute is marked a bot")
    bot_events_per_minute_per_address: int = Field(
        3_000, ge=1, description="What comes beyond it in a minute from one address is marked (with ADDRESS_HEADER)"
    )
    country_header: str = Field(
        "", description="Header in which a proxy before the gateway tells the shopper's country"
    )
    address_header: str = Field(
        "", description="Header in which a proxy before the gateway tells the shopper's IP address; it is kept nowhere"
    )
    country_database: Path | None = Field(
        None, description="MMDB file that tells the country of an address (with ADDRESS_HEADER)"
    )
    valkey_timeout_seconds: float = Field(0.1, gt=0, description="Valkey is a convenience: nothing waits longer for it")

    @field_validator("integration_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr) -> SecretStr:
        KeyRing.parse(value.get_secret_value())
        return value

    @field_validator("country_database")
    @classmethod
    def _is_a_database(cls, value: Path | None) -> Path | None:
        if value is not None:
            Countries(value)
        return value

    @model_validator(mode="after")
    def _an_address_is_there_to_be_looked_up(self) -> Self:
        if self.country_database is not None and not self.address_header:
            raise ValueError("COUNTRY_DATABASE tells nothing without ADDRESS_HEADER, where the shopper's address is")
        return self

    @model_validator(mode="after")
    def _a_full_request_fits(self) -> Self:
        needed = self.max_events_per_request + self.rate_limit_per_second * self.rate_limit_key_share / 10
        if self.rate_limit_burst * self.rate_limit_key_share < needed:
            raise ValueError(
                "RATE_LIMIT_BURST is too small: a key's share of it holds no full request (MAX_EVENTS_PER_REQUEST) "
                "and a tenth of a second's events"
            )
        return self
