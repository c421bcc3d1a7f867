"""The gateway without identity map and limiter, to see what these cost. Started by its benchmark as a program."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from services.ingest import app, gateway
from services.ingest.domain.buckets import Limit
from services.ingest.domain.sealed import Event
from services.ingest.identity.settling import Settled
from services.ingest.limiter import Verdict
from services.ingest.settings import IngestSettings
from trolleybus.runtime import start


class _NoMap:
    """Knows nobody, learns nothing."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def note(self, _sightings: Any) -> None:
        pass

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


class _NoSettling:
    def __init__(self, *_arguments: Any) -> None:
        pass

    def all_at_once(self, events: Sequence[Event]) -> Settled:
        return Settled([*events], [])


class _NoLimit:
    """Allows everything."""

    def __init__(self, *_arguments: Any, **_settings: Any) -> None:
        self._verdict = Verdict(True, Limit(1, 1))

    def take(self, *_request: Any) -> Verdict:
        return self._verdict

    def refusal(self, *_request: Any) -> None:
        return None


if __name__ == "__main__":
    with (
        patch.object(app, "IdentityMap", _NoMap),
        patch.object(app, "RateLimiter", _NoLimit),
        patch.object(gateway, "Settling", _NoSettling),
    ):
        start(IngestSettings, app.build)
