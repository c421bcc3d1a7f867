"""Stores over HTTP: what is sent, what is answered."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from babel.numbers import list_currencies
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.campaigns.stores.domain import durations
from trolleybus.contracts.stores import SenderIdentity, StoreConfig, StoreKey
from trolleybus.envelope import rfc3339

T = TypeVar("T")


def _read(reader: Callable[[Any], T]) -> BeforeValidator:
    return BeforeValidator(lambda value: reader(value) if isinstance(value, str | int) else value)


def _currency(code: str) -> str:
    if code not in list_currencies():
        raise ValueError("not a currency code (ISO 4217) such as EUR")
    return code


Seconds = Annotated[int, _read(durations.seconds)]
Hours = Annotated[tuple[int, int], _read(durations.hours)]
Cap = Annotated[tuple[int, int], _read(durations.cap)]
Currency = Annotated[str, AfterValidator(_currency)]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_max_length=2000)


class SenderForm(Form):
    channel: Literal["email", "sms", "push", "whatsapp"] = "email"
    address: str = ""
    name: str = ""
    reply_to: str = ""


class StoreChange(Form):
    """What is left out stays as it is. Durations read 15s, 15m, 1h, 2d or are seconds."""

    name: str | None = None
    currency: Currency | None = None
    time_zone: str | None = Field(default=None, examples=["Europe/Madrid"])
    language: str | None = Field(default=None, examples=["es-ES"])
    country: str | None = Field(default=None, examples=["ES"])
    levels: list[Seconds] | None = Field(default=None, examples=[["15m", "1h", "24h"]])
    expiry: Seconds | None = Field(default=None, examples=["30d"])
    origins: list[str] | None = None
    shop_url: str | None = None
    restore_url: str | None = Field(default=None, examples=["https://shop.example.com/cart/{cart_id}"])
    senders: list[SenderForm] | None = None
    postal_address: str | None = None
    email_consent_basis: str | None = Field(default=None, examples=["grant", "soft_opt_in"])
    quiet_hours: Hours | None = Field(default=None, examples=["21:00-09:00"])
    cap: Cap | None = Field(default=None, examples=["3/7d"])
    active: bool | None = None
    unmarked: list[Literal["bot", "incomplete"]] | None = Field(
        default=None, description="Marks that the gateway does not set on this store's events"
    )
    events_per_second: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="What the gateway takes of each kind of event; 0: as the installation",
    )

    def apply(self, config: StoreConfig) -> StoreConfig:
        given = {name: value for name, value in self if value is not None and name in self.model_fields_set}
        changes: dict[str, Any] = {}
        for name, value in given.items():
            match name:
                case "expiry":
                    changes["expiry_seconds"] = value
                case "quiet_hours":
                    changes["quiet_from_minute"], changes["quiet_to_minute"] = value
                case "cap":
                    changes["cap_messages"], changes["cap_seconds"] = value
                case "senders":
                    changes["senders"] = tuple(SenderIdentity(**dict(sender)) for sender in value)
                case "levels" | "origins" | "unmarked":
                    changes[name] = tuple(value)
                case "campaign":
                    pass
                case "detection_from":
                    changes[name] = round(value.timestamp() * 1000)
                case _:
                    changes[name] = value
        return replace(config, **changes)


class NewStore(StoreChange):
    """`campaign`: also make an active cart-recovery campaign of three e-mails."""

    name: str
    currency: Currency
    time_zone: str = Field(examples=["Europe/Madrid"])
    levels: list[Seconds] = Field(examples=[["15m", "1h", "24h"]])
    campaign: bool = True
    detection_from: AwareDatetime | None = Field(
        None,
        description="No level that was due earlier is told; now where absent. Set it back before importing a past.",
    )


class NewKey(Form):
    kind: Literal["write", "secret"]
    scopes: list[str] = Field(
        default=[], max_length=20, description="What it may do; where none is named, all that its kind may"
    )


class Rotation(Form):
    grace: Seconds = Field(
        default=86_400, ge=0, le=90 * 86_400, description="How long the old key goes on working", examples=["24h"]
    )


class KeyView(BaseModel):
    key_id: str
    kind: str
    scopes: list[str] = Field(description="Empty: all that its kind may")
    created_at: str
    expires_at: str | None


class StoreView(BaseModel):
    store_id: str
    version: int
    updated_at: str
    name: str
    currency: str
    time_zone: str
    language: str
    country: str
    levels: list[int]
    expiry_seconds: int
    detection_from: str
    keys: list[KeyView]
    origins: list[str]
    shop_url: str
    restore_url: str
    senders: list[SenderForm]
    postal_address: str
    email_consent_basis: str
    quiet_hours: str
    cap: str
    active: bool
    unmarked: list[str]
    events_per_second: int


class IssuedKeyView(BaseModel):
    key_id: str
    kind: str
    key: str = Field(description="Shown this once; only its hash is kept")


class CreatedView(BaseModel):
    """The keys are shown this once; only their hashes are kept."""

    store_id: str
    write_key: str
    secret_key: str
    campaign_id: str | None = Field(description="The default campaign, active; none if it was not wanted")
    store: StoreView


class StoreList(BaseModel):
    items: list[StoreView]


def view(config: StoreConfig) -> StoreView:
    return StoreView(
        store_id=config.store_id,
        version=config.version,
        updated_at=rfc3339(config.occurred_at),
        name=config.name,
        currency=config.currency,
        time_zone=config.time_zone,
        language=config.language,
        country=config.country,
        levels=list(config.levels),
        expiry_seconds=config.expiry_seconds,
        detection_from=rfc3339(config.detection_from),
        keys=[_key_view(key) for key in config.keys],
        origins=list(config.origins),
        shop_url=config.shop_url,
        restore_url=config.restore_url,
        senders=[
            SenderForm.model_construct(channel=one.channel, address=one.address, name=one.name, reply_to=one.reply_to)
            for one in config.senders
        ],
        postal_address=config.postal_address,
        email_consent_basis=config.email_consent_basis,
        quiet_hours=_hours(config),
        cap=f"{config.cap_messages}/{durations.text(config.cap_seconds)}" if config.cap_messages else "",
        active=config.active,
        unmarked=list(config.unmarked),
        events_per_second=config.events_per_second,
    )


def _hours(config: StoreConfig) -> str:
    begin, end = config.quiet_from_minute, config.quiet_to_minute
    return "" if begin == end else f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


def _key_view(key: StoreKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        kind=key.kind,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        expires_at=rfc3339(key.expires_at) if key.expires_at else None,
    )
