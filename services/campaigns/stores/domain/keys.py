"""A store's API keys as its settings hold them."""

from dataclasses import replace

from trolleybus.contracts.stores import StoreConfig, StoreKey

KINDS = ("write", "secret")


def added(config: StoreConfig, new: StoreKey) -> StoreConfig:
    """With a new key beside the others; those that have ended are gone."""
    kept = tuple(key for key in config.keys if not key.expires_at or key.expires_at > new.created_at)
    return replace(config, keys=(*kept, new))


def rotated(config: StoreConfig, key_id: str, new: StoreKey, old_expire_at: int) -> StoreConfig | None:
    """With a new key of the same kind and scopes in the place of one, which ends at a time (ms), or sooner if it did
    already; None if there is no such key."""
    old = find(config, key_id)
    if old is None:
        return None
    ending = replace(old, expires_at=min(old.expires_at or old_expire_at, old_expire_at))
    others = tuple(ending if key is old else key for key in config.keys)
    return added(replace(config, keys=others), replace(new, kind=old.kind, scopes=old.scopes))


def revoked(config: StoreConfig, key_id: str) -> StoreConfig | None:
    """Without a key; None if there is no such key."""
    kept = tuple(key for key in config.keys if key.key_id != key_id)
    return None if len(kept) == len(config.keys) else replace(config, keys=kept)


def find(config: StoreConfig, key_id: str) -> StoreKey | None:
    return next((key for key in config.keys if key.key_id == key_id), None)
