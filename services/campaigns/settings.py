"""Settings of the campaigns service."""

from typing import ClassVar

from pydantic import Field

from trolleybus.settings import ServiceSettings


class CampaignsSettings(ServiceSettings):
    service: ClassVar[str] = "campaigns"

    port: int = Field(8103, ge=0, le=65535)
    contact_wait_seconds: int = Field(60, ge=0)
    request_ttl_seconds: int = Field(86_400, ge=60)
    step_workers: int = Field(2, ge=1, le=16)
    step_batch: int = Field(20, ge=1, le=500)
    step_poll_seconds: float = Field(0.25, gt=0)
    sender_address: str = Field(default="carts@localhost", pattern="^[^@ ]+@[^@ ]+$")
    sign_in_link_seconds: int = Field(900, ge=10)
