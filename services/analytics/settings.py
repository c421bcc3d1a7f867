"""Settings of analytics, beside those of every service."""

from typing import ClassVar

from pydantic import Field

from trolleybus.settings import ServiceSettings


class AnalyticsSettings(ServiceSettings):
    """Where the figures are served."""

    service: ClassVar[str] = "analytics"

    port: int = Field(8105, ge=0, le=65535)
