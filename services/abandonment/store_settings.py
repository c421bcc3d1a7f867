"""The settings that a record or a cart is judged by."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.abandonment.domain.setting import Setting
from trolleybus.contracts.stores import StoreConfig
from trolleybus.store_directory import StoreDirectory

FORGET_AFTER = 10.0
"""Seconds for which a version that a full reading of the topic did not show is taken to be unknown."""


class UnknownStore(ValueError):
    """No settings of the store are known."""


class StoreSettings:
    """All versions of all stores, read again where one is missing: the gateway had it from the same topic."""

    def __init__(self, directory: StoreDirectory, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._prepared: dict[tuple[str, int], tuple[StoreConfig, Setting]] = {}
        self._missing: dict[tuple[str, int], float] = {}

    def of_record(self, store_id: str, version: int) -> Setting | None:
        """That version; the latest known for one that a reading has not shown; None if the topic must be read first."""
        return self._exact(store_id, version) or (
            None if self._worth_reading(store_id, version) else self.known(store_id, version)
        )

    def known(self, store_id: str, version: int) -> Setting | None:
        """That version, else the latest known; None for an unknown store."""
        exact = self._exact(store_id, version)
        if exact is not None:
            return exact
        latest = self._directory.latest(store_id)
        return self._exact(store_id, latest.version) if latest else None

    async def resolve(self, store_id: str, version: int) -> Setting:
        """As known, after reading the topic to its end if the version is missing.

        Raises UnknownStore, and KafkaUnavailable while the topic cannot be read.
        """
        setting = self._exact(store_id, version)
        if setting is None and self._worth_reading(store_id, version):
            await self._directory.refresh()
            self._missing[(store_id, version)] = self._monotonic() + FORGET_AFTER
        setting = self.known(store_id, version)
        if setting is None:
            raise UnknownStore(f"store {store_id!r} is not on the topic stores")
        return setting

    def _exact(self, store_id: str, version: int) -> Setting | None:
        config = self._directory.version(store_id, version)
        if config is None:
            return None
        prepared = self._prepared.get((store_id, version))
        if prepared is None or prepared[0] is not config:
            prepared = self._prepared[(store_id, version)] = config, Setting.of(config)
        return prepared[1]

    def _worth_reading(self, store_id: str, version: int) -> bool:
        now = self._monotonic()
        if len(self._missing) > 10_000:
            self._missing.clear()
        return self._missing.get((store_id, version), 0.0) <= now
