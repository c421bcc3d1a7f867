"""Who may manage integrations: the operator every store's, a store's secret key its own."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from services.ingest.api.callers import Directory, caller_of
from services.ingest.domain.access import INTEGRATIONS
from trolleybus.security import operator_required
from trolleybus.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Manager:
    """`store_id` is None for the operator, who may work as every store."""

    store_id: str | None


def manager_required(
    settings: ServiceSettings, directory: Directory, clock: Callable[[], int]
) -> Callable[[Request], Manager]:
    """A dependency: 401 without a proof, 403 for a key that may not do this. `clock` gives ms since the epoch."""
    operator = operator_required(settings)

    def required(request: Request) -> Manager:
        if _has_store_key(request):
            return Manager(caller_of(request, directory, INTEGRATIONS, clock()).store.store_id)
        operator(request)
        return Manager(None)

    return required


def _has_store_key(request: Request) -> bool:
    """By what it looks like; anything else is for the operator's check."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip().startswith(("tbs_", "tbw_"))
    return scheme.lower() == "basic" or "x-api-key" in request.headers
