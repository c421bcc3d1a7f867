"""The settings that a record or a cart is judged by."""

from __future__ import annotations

import time
from collections.abc import Callable

from trolleybus.contracts.stores import StoreConfig
from trolleybus.store_directory import StoreDirectory

FORGET_AFTER = 10.0
"""Seconds for which a store or version that a full reading of the topic did not show is taken to be unknown."""


class UnknownStore(ValueError):
    """No settings of the store are known."""


class StoreSettings:
    """All versions of all stores, read again where one is missing: the gateway had it from the same topic."""

    def __init__(self, directory: StoreDirectory, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._missing: dict[tuple[str, int], float] = {}

    def known(self, store_id: str, version: int) -> StoreConfig | None:
        """That version, else the latest known; None for an unknown store."""
        return self._directory.version(store_id, version) or self._directory.latest(store_id)

    async def resolve(self, store_id: str, version: int) -> StoreConfig:
        """As known, after reading the topic to its end if the version is missing.

        Raises UnknownStore, and KafkaUnavailable while the topic cannot be read.
        """
        exact = self._directory.version(store_id, version)
        if exact is not None:
            return exact
        if self._worth_reading(store_id, version):
            await self._directory.refresh()
            self._missing[(store_id, version)] = self._monotonic() + FORGET_AFTER
        config = self.known(store_id, version)
        if config is None:
            raise UnknownStore(f"store {store_id!r} is not on the topic stores")
        return config

    def _worth_reading(self, store_id: str, version: int) -> bool:
        now = self._monotonic()
        if len(self._missing) > 10_000:
            self._missing.clear()
        return self._missing.get((store_id, version), 0.0) <= now
