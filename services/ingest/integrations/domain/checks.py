"""What a test of an integration looks at, and what it says. Times are ms since the epoch."""

from dataclasses import dataclass

from services.ingest.integrations.domain.integration import Integration
from services.ingest.integrations.domain.kinds import KINDS

EVENT_WITHIN_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway found beside the row. `closed` is why the secrets cannot be opened, "" where they can."""

    closed: str
    is_in_use: bool
    has_write_key: bool


def checks(integration: Integration, seen: Seen, now: int) -> tuple[Check, ...]:
    """In the order in which they are to be put right."""
    if integration.state == "disconnected":
        why = integration.disconnected_because
        return (Check("connected", ok=False, detail=f"disconnected ({why}): connect it again"),)
    return (
        Check("connected", ok=True, detail="connected"),
        _proof(integration, seen),
        Check(
            "in_use",
            ok=seen.is_in_use,
            detail="the gateway works with these settings"
            if seen.is_in_use
            else "the process that was asked does not have these settings yet: look at /readyz",
        ),
        _event(integration, now),
        _error(integration),
    )


def _proof(integration: Integration, seen: Seen) -> Check:
    if KINDS[integration.kind].secrets:
        return Check("secret", ok=not seen.closed, detail=seen.closed or "can be opened")
    return Check(
        "write_key",
        ok=seen.has_write_key,
        detail="the store has one" if seen.has_write_key else "the store has no write key to call with: make one",
    )


def _event(integration: Integration, now: int) -> Check:
    silence = now - integration.last_event_at
    if not integration.last_event_at:
        return Check("event", ok=False, detail="nothing has come since it was connected: change a cart in the shop")
    said = f"the last came {_duration(silence)} ago"
    if silence > EVENT_WITHIN_MS:
        return Check("event", ok=False, detail=f"nothing within 24 h: {said}")
    return Check("event", ok=True, detail=said)


def _error(integration: Integration) -> Check:
    if integration.state == "failing":
        return Check("error", ok=False, detail=f"since the last that was taken: {integration.last_error}")
    return Check("error", ok=True, detail="none since the last that was taken")


def _duration(ms: int) -> str:
    seconds = max(0, ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
