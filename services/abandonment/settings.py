"""Settings of the detector, beside those of every service."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from trolleybus.settings import ServiceSettings


class AbandonmentSettings(ServiceSettings):
    """How quickly silence is noticed, how quickly a dead worker is replaced, and where the rows are kept."""

    service: ClassVar[str] = "abandonment"

    port: int = Field(8102, ge=0, le=65535)

    state_dir: Path = Field(
        Path(".dev/abandonment"),
        description="Directory of the carts' rows; the changelog is what counts, so it may be lost",
    )
    standby_replicas: int = Field(
        0, ge=0, description="Other workers that keep a partition's rows, ready to take over at once"
    )
    tick_seconds: float = Field(0.05, gt=0, description="Time between looks at what silence made due")
    fetch_wait_ms: int = Field(50, ge=1, description="How long Kafka may hold a fetch at the end of the log")
    clock_margin_ms: int = Field(
        50, ge=0, description="The brokers' clocks may differ by this; levels are told that much later"
    )
    session_timeout_seconds: float = Field(6.0, gt=0, description="A worker silent for this long is replaced")
    batch_records: int = Field(1_000, ge=1, description="Records handled in one go")
