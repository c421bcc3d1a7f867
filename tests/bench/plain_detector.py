"""The detector with a plain idempotent producer in place of its transactions: what they cost is measured against it.

`python -m tests.bench.plain_detector` takes the service's settings. It fences nobody: for benchmarks only.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer

from services.abandonment import journal
from services.abandonment.app import build
from services.abandonment.settings import AbandonmentSettings
from trolleybus.runtime import start


class PlainProducer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """Takes the calls that a transaction needs and does nothing for them; acknowledgements are awaited as ever."""

    def __init__(self, *, transactional_id: str, transaction_timeout_ms: int, **settings: Any) -> None:
        super().__init__(enable_idempotence=True, **settings)

    async def begin_transaction(self) -> None:
        pass

    async def abort_transaction(self) -> None:
        pass

    async def commit_transaction(self) -> None:
        pass


if __name__ == "__main__":
    vars(journal)["AIOKafkaProducer"] = PlainProducer
    start(AbandonmentSettings, build)
