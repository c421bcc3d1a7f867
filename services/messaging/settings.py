"""Settings of messaging, beside those of every service."""

from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from trolleybus.settings import ServiceSettings


class MessagingSettings(ServiceSettings):
    """How messages go out, and how long the gate waits for what."""

    service: ClassVar[str] = "messaging"

    port: int = Field(8104, ge=0, le=65535)
    transport: Literal["inbox", "smtp"] = "inbox"
    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:25"), description="smtp://user:password@host:587?starttls=1, or smtps://host:465"
    )
    smtp_connections: int = Field(4, ge=1, le=64)
    smtp_timeout_seconds: float = Field(20.0, gt=0, description="For each answer of the server")
    barrier_wait_seconds: float = Field(5.0, gt=0, description="For the projection to pass the ends; else nothing goes")
    claim_batch: int = Field(100, ge=1, le=1000, description="Messages that pass one barrier together")
    calls_at_once: int = Field(64, ge=1, le=512)
    claim_lease_seconds: float = Field(15.0, gt=2)
    call_lease_seconds: float = Field(120.0, gt=0, description="After it a call without an answer is in doubt")
    retry_first_seconds: float = Field(5.0, gt=0)
    retry_longest_seconds: float = Field(900.0, gt=0)
    poll_seconds: float = Field(0.2, gt=0, description="Between looks for due messages that other processes took in")
    look_up_seconds: float = Field(30.0, gt=0, description="Between look-ups of messages in doubt")
    open_pixel: bool = Field(default=False, description="Put a picture into mails that tells when they are opened")

    @model_validator(mode="after")
    def _call_outlives_answers(self) -> Self:
        # An SMTP call waits for up to eight answers: greeting, EHLO, STARTTLS, EHLO, AUTH, MAIL and RCPT, DATA, its end.
        if self.transport == "smtp" and self.call_lease_seconds < 5 * self.smtp_timeout_seconds:
            raise ValueError("must be at least five times SMTP_TIMEOUT_SECONDS, or live calls would be told in doubt")
        return self
