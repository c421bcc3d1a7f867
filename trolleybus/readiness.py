"""What a process says about itself: which parts are ready, whether it is draining, whether a loop of it died."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PartStatus:
    ok: bool
    detail: str = ""


Check = Callable[[], PartStatus]


@dataclass(slots=True)
class Readiness:
    """Checks are synchronous and cheap: they read what a part already knows about itself.

    `draining` is set once the process was asked to stop; `failed` once a background loop died.
    """

    draining: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    _checks: dict[str, Check] = field(default_factory=dict)

    def add(self, name: str, check: Check) -> None:
        if name in self._checks:
            raise ValueError(f"a part called {name!r} is already watched")
        self._checks[name] = check

    def fail(self, name: str, detail: str) -> None:
        """A loop died: the process cannot become ready again and is to stop."""
        status = PartStatus(ok=False, detail=detail)
        self._checks[name] = lambda: status
        self.failed.set()

    def report(self) -> dict[str, PartStatus]:
        parts = {name: _checked(check) for name, check in self._checks.items()}
        if self.draining.is_set():
            parts["process"] = PartStatus(ok=False, detail="draining: asked to stop")
        return parts


def _checked(check: Check) -> PartStatus:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a part that cannot even say how it is, is not ready
        return PartStatus(ok=False, detail=f"its check failed: {type(error).__name__}: {error}")
