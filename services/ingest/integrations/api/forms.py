"""Integrations over HTTP: what is sent, what is answered. No answer holds a secret."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.ingest.integrations.domain.checks import Check
from services.ingest.integrations.domain.integration import OVERLAP_S, Integration, State
from services.ingest.integrations.domain.kinds import KINDS
from trolleybus.envelope import rfc3339

LONGEST_OVERLAP_S = 7 * 86_400

Name = Annotated[str, Field(max_length=100)]
Secrets = dict[Name, Annotated[SecretStr, Field(max_length=2000)]]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewIntegration(Form):
    store_id: str | None = Field(
        None,
        max_length=200,
        description="Whose; with a store's key its own, and not needed",
        examples=["my-shop-1a2b3c4d"],
    )
    kind: str = Field(max_length=100, description=f"One of: {', '.join(KINDS)}", examples=["shopify"])
    settings: dict[Name, Annotated[str, Field(max_length=2000)]] = Field(
        default_factory=dict, max_length=20, examples=[{"shop_domain": "my-shop.myshopify.com"}]
    )
    secrets: Secrets = Field(
        default_factory=dict, max_length=20, examples=[{"webhook_secret": "as the other side shows it"}]
    )


class Rotation(Form):
    secrets: Secrets = Field(max_length=20, examples=[{"webhook_secret": "the new one"}])
    overlap_seconds: int = Field(
        OVERLAP_S, ge=0, le=LONGEST_OVERLAP_S, description="How long the one before works on; 0 where it leaked"
    )


class SecretView(BaseModel):
    """What may be seen of a secret. `valid_until` is null for the one in use."""

    name: str
    last4: str
    valid_from: str
    valid_until: str | None


class IntegrationView(BaseModel):
    """Times are RFC 3339, null for never. `url` is where the other side sends to."""

    integration_id: str
    store_id: str
    kind: str
    state: State
    url: str
    settings: dict[str, str]
    secrets: list[SecretView]
    connected_at: str
    disconnected_at: str | None
    disconnected_because: str
    last_event_at: str | None
    last_error: str
    last_error_at: str | None


class IntegrationPage(BaseModel):
    """`next` is what the next page's `after` is; null on the last."""

    items: list[IntegrationView]
    next: str | None


class CheckView(BaseModel):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Tested(BaseModel):
    """`ok` where every check is."""

    ok: bool
    checks: list[CheckView]


def clear(secrets: Secrets) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


def view(integration: Integration, gateway_url: str) -> IntegrationView:
    kind = KINDS[integration.kind]
    return IntegrationView(
        integration_id=integration.integration_id,
        store_id=integration.store_id,
        kind=integration.kind,
        state=integration.state,
        url=gateway_url + kind.path.format(store_id=integration.store_id),
        settings=dict(integration.settings),
        secrets=[
            SecretView(
                name=secret.name,
                last4=secret.last4,
                valid_from=rfc3339(secret.valid_from),
                valid_until=_time(secret.valid_until),
            )
            for secret in integration.secrets
        ],
        connected_at=rfc3339(integration.connected_at),
        disconnected_at=_time(integration.disconnected_at),
        disconnected_because=integration.disconnected_because,
        last_event_at=_time(integration.last_event_at),
        last_error=integration.last_error,
        last_error_at=_time(integration.last_error_at),
    )


def tested(checks: tuple[Check, ...]) -> Tested:
    return Tested(
        ok=all(check.ok for check in checks),
        checks=[CheckView(name=check.name, ok=check.ok, detail=check.detail) for check in checks],
    )


def _time(ms: int) -> str | None:
    return rfc3339(ms) if ms else None
