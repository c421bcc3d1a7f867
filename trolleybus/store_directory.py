"""Every store's settings, as the stores topic tells them: known to each service without asking another."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection

from trolleybus.codec import Codec
from trolleybus.contracts.records import Record
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.envelope import Received
from trolleybus.readiness import PartStatus
from trolleybus.security import hash_key
from trolleybus.topic_table import TopicTable
from trolleybus.topics import Topic


class StoreIndex:
    """Stores by id, version and key. Versions may come in any order and more than once."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, StoreConfig]] = defaultdict(dict)
        self._latest: dict[str, StoreConfig] = {}
        self._keys: dict[str, tuple[StoreConfig, StoreKey]] = {}
        self.changes = 0
        """How many versions were added: whoever derives something from the stores makes it anew when this moves."""

    def add(self, config: StoreConfig) -> None:
        self.changes += 1
        self._versions[config.store_id][config.version] = config
        known = self._latest.get(config.store_id)
        if known is not None and known.version > config.version:
            return
        for key in known.keys if known is not None else ():
            self._keys.pop(key.hash, None)
        self._latest[config.store_id] = config
        for key in config.keys:
            self._keys[key.hash] = (config, key)

    def latest(self, store_id: str) -> StoreConfig | None:
        """The store's present settings."""
        return self._latest.get(store_id)

    def version(self, store_id: str, version: int) -> StoreConfig | None:
        """The store's settings as they were in a version."""
        return self._versions[store_id].get(version) if store_id in self._versions else None

    def by_key(self, key: str, now: int | None = None) -> tuple[StoreConfig, StoreKey] | None:
        """The store that an API key opens at `now` (ms); None for unknown or expired keys and stores that are not active."""
        found = self._keys.get(hash_key(key))
        if found is None:
            return None
        config, entry = found
        at = int(time.time() * 1000) if now is None else now
        if not config.active or (entry.expires_at and entry.expires_at <= at):
            return None
        return found

    def all(self) -> Collection[StoreConfig]:
        """Every store's present settings."""
        return self._latest.values()


class StoreDirectory(StoreIndex):
    """The index, kept up to date from the topic "stores"."""

    def __init__(self, topic: Topic, bootstrap: str, codec: Codec) -> None:
        super().__init__()
        self._table = TopicTable(topic, bootstrap, codec, self._apply)

    async def run(self) -> None:
        await self._table.run()

    async def wait_ready(self) -> None:
        await self._table.wait_ready()

    async def refresh(self, seconds: float = 5.0) -> None:
        await self._table.refresh(seconds)

    def status(self) -> PartStatus:
        status = self._table.status()
        return PartStatus(ok=status.ok, detail=f"{len(self._latest)} stores, {status.detail}")

    def _apply(self, received: Received[Record]) -> None:
        if isinstance(received.record, StoreConfig):
            self.add(received.record)
