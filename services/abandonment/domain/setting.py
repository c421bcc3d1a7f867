"""A store's setting as detection uses it, prepared once a version."""

from __future__ import annotations

import msgspec

from trolleybus.contracts.stores import StoreConfig

DEFAULT_LEVELS = (900, 3_600, 86_400)
DEFAULT_EXPIRY_SECONDS = 2_592_000


class Setting(msgspec.Struct, frozen=True, gc=False):
    """What a store's owner sets of detection, defaults applied."""

    store_id: str = ""
    version: int = 0
    levels: tuple[int, ...] = DEFAULT_LEVELS  # Seconds, ascending.
    expiry_ms: int = DEFAULT_EXPIRY_SECONDS * 1000
    detection_from: int = 0  # ms.
    currency: str = ""

    @classmethod
    def of(cls, config: StoreConfig) -> Setting:
        """The setting of a version of the contract."""
        return cls(
            store_id=config.store_id,
            version=config.version,
            levels=tuple(sorted(set(config.levels))) or DEFAULT_LEVELS,
            expiry_ms=(config.expiry_seconds or DEFAULT_EXPIRY_SECONDS) * 1000,
            detection_from=config.detection_from,
            currency=config.currency,
        )
