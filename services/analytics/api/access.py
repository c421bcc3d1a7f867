"""Who may read which store: the operator every one, a store's secret key its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from fastapi import Request

from services.analytics.settings import AnalyticsSettings
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.http import Problem
from trolleybus.security import operator_required


class Directory(Protocol):
    """The part of trolleybus.store_directory.StoreDirectory that is used here."""

    def latest(self, store_id: str) -> StoreConfig | None: ...

    def by_key(self, key: str) -> tuple[StoreConfig, StoreKey] | None: ...

    def all(self) -> Collection[StoreConfig]: ...


class Reader:
    """The stores that a caller may read."""

    def __init__(self, directory: Directory, own: StoreConfig | None = None) -> None:
        self._directory = directory
        self._own = own

    def stores(self) -> list[StoreConfig]:
        """By name."""
        stores = self._directory.all() if self._own is None else [self._own]
        return sorted(stores, key=lambda store: (store.name, store.store_id))

    def store(self, store_id: str) -> StoreConfig:
        """The store asked for; without a name, the only one there is. A key learns nothing of other stores."""
        if not store_id:
            stores = self.stores()
            if len(stores) == 1:
                return stores[0]
            raise Problem(422, "Which store?", "there are several stores (or none): name one", field="query/store_id")
        if self._own is not None:
            if store_id != self._own.store_id:
                raise Problem(
                    403, "Not this key's store", "a store's key reads that store only", field="query/store_id"
                )
            return self._own
        store = self._directory.latest(store_id)
        if store is None:
            raise Problem(404, "No such store", "see /api/v1/analytics/stores for those there are")
        return store


def reader_required(settings: AnalyticsSettings, directory: Directory) -> Callable[[Request], Reader]:
    """A dependency: 401 without proof, 403 for a key that may not read."""
    operator = operator_required(settings)

    def required(request: Request) -> Reader:
        key = _store_key(request)
        if not key:
            operator(request)
            return Reader(directory)
        found = directory.by_key(key)
        now = int(time.time() * 1000)
        if found is None or not found[0].active or 0 < found[1].expires_at <= now:
            raise Problem(
                401,
                "No store has this key",
                "send a store's secret key, or the operator's token: `Authorization: Bearer …`",
                headers={"WWW-Authenticate": 'Bearer realm="trolleybus"'},
            )
        store, known = found
        if known.kind != "secret" or (known.scopes and "analytics" not in known.scopes):
            raise Problem(403, "This key may not read figures", "use the store's secret key, from its server")
        return Reader(directory, store)

    return required


def _store_key(request: Request) -> str:
    """A store's key, by what it begins with; anything else is for the operator's check."""
    kind, _, credential = request.headers.get("authorization", "").partition(" ")
    key = credential.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
    return key if key.startswith(("tbs_", "tbw_")) else ""
