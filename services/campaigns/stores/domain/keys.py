"""A store's API keys as its settings hold them."""

from dataclasses import replace

from trolleybus.contracts.stores import StoreConfig, StoreKey

KINDS = ("write", "secret")


def rotated(config: StoreConfig, new: StoreKey, old_expire_at: int) -> StoreConfig:
    """With a new key; the others of its kind end at a time (ms), or sooner if they did already."""

    def ending(key: StoreKey) -> StoreKey:
        if key.kind != new.kind:
            return key
        return replace(key, expires_at=min(key.expires_at or old_expire_at, old_expire_at))

    kept = tuple(ending(key) for key in config.keys if not key.expires_at or key.expires_at > new.created_at)
    return replace(config, keys=(*kept, new))


def revoked(config: StoreConfig, key_id: str) -> StoreConfig | None:
    """Without a key; None if there is no such key."""
    kept = tuple(key for key in config.keys if key.key_id != key_id)
    return None if len(kept) == len(config.keys) else replace(config, keys=kept)
