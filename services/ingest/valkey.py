"""Valkey as a convenience: what it cannot answer in time is done without, counted, and not asked again for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from services.ingest.metrics import IngestMetrics
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

PAUSE_S = 1.0

T = TypeVar("T")
logger = get_logger(__name__)


class Valkey:
    """A client that never raises: `ask` gives None where Valkey is away."""

    def __init__(self, url: str, timeout_s: float, metrics: IngestMetrics) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=True,
            # A connection that Valkey's restart cut is opened anew at once; who does not answer in time is not asked twice.
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
        )
        self._metrics = metrics
        self._silent_until = 0.0
        self._waiting = 0
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self._is_closed = False

    async def ask(self, purpose: str, question: Callable[[Redis], Awaitable[T]]) -> T | None:
        """The answer; None where there is none in time. It is put again where its connection broke, so it must bear that."""
        now = time.monotonic()
        if self._is_closed or now < self._silent_until:
            self._metrics.valkey_failures.labels(purpose).inc()
            return None
        if self._silent_until:  # One asks whether it is back; the others do not wait for that.
            self._silent_until = now + PAUSE_S
        self._waiting += 1
        self._nobody_waits.clear()
        try:
            answer = await question(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            self._metrics.valkey_failures.labels(purpose).inc()
            self._silent_until = time.monotonic() + PAUSE_S
            logger.warning("valkey is away; going on without it", purpose=purpose, error=type(error).__name__)
            return None
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._nobody_waits.set()
        self._silent_until = 0.0
        return answer

    def status(self) -> PartStatus:
        """Always ok: the gateway works without it, and says so."""
        away = time.monotonic() < self._silent_until
        return PartStatus(ok=True, detail="away: rate limits are each process's own, no identity map" if away else "")

    async def aclose(self) -> None:
        """Once all who asked have their answer; nobody is asked from now on, lest a closed client opened a connection anew."""
        self._is_closed = True
        await self._nobody_waits.wait()
        await self._client.aclose()
