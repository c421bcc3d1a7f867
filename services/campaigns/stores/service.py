"""Stores: each change is a new version in the database and, in the same transaction, on its way to the topic."""

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from services.campaigns.stores import store
from services.campaigns.stores.domain import keys as store_keys
from services.campaigns.stores.domain.rules import Fault, faults
from trolleybus import outbox
from trolleybus.contracts import ids
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.db import Connection, Pool
from trolleybus.envelope import Envelopes
from trolleybus.security import hash_key, new_key
from trolleybus.security.keys import KeyKind

_NOT_SLUG = re.compile(r"[^a-z0-9]+")


class NoSuchStore(LookupError):
    """No store has that id."""


class NoSuchKey(LookupError):
    """The store has no key of that id."""


class Refused(ValueError):
    """The settings are not valid; each fault names its field."""

    def __init__(self, found: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in found))
        self.faults = found


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key in clear: shown once, kept as its hash."""

    key_id: str
    kind: KeyKind
    key: str


@dataclass(frozen=True, slots=True)
class Created:
    config: StoreConfig
    write: IssuedKey
    secret: IssuedKey


Change = Callable[[StoreConfig], StoreConfig]
WithStore = Callable[[Connection, StoreConfig], Awaitable[None]]
"""More work in the transaction of a store's change; may raise Refused."""


class Stores:
    def __init__(self, pool: Pool, envelopes: Envelopes, clock: Callable[[], int], before_change: WithStore) -> None:
        self._pool = pool
        self._envelopes = envelopes
        self._clock = clock
        self._before_change = before_change

    async def create(self, wanted: StoreConfig, also: WithStore) -> Created:
        """A store with two keys; detection begins now unless it is told when. `also` runs in the same transaction."""
        now = self._clock()
        write, write_key = _issue("write", now)
        secret, secret_key = _issue("secret", now)
        config = replace(
            wanted,
            store_id=f"{_slug(wanted.name)}-{secrets.token_hex(4)}",
            version=0,
            detection_from=wanted.detection_from or now,
            keys=(write_key, secret_key),
        )
        config = _next_version(config, now)
        _check(config)
        async with self._pool.connection() as conn:
            await store.insert(conn, config)
            await also(conn, config)
            await outbox.put(conn, self._envelopes, config)
        return Created(config, write, secret)

    async def change(self, store_id: str, change: Change) -> StoreConfig:
        """Raises NoSuchStore, Refused. No new version where nothing changes."""
        async with self._pool.connection() as conn:
            before = await store.find_to_change(conn, store_id)
            if before is None:
                raise NoSuchStore(store_id)
            after = change(before)
            if after == before:
                return before
            after = _next_version(after, self._clock())
            _check(after)
            await self._before_change(conn, after)
            await store.replace(conn, after)
            await outbox.put(conn, self._envelopes, after)
            return after

    async def add_key(self, store_id: str, kind: KeyKind, scopes: Sequence[str]) -> IssuedKey:
        """A key beside the others; without scopes it may all that its kind may."""
        issued, key = _issue(kind, self._clock())
        narrowed = replace(key, scopes=tuple(sorted(set(scopes))))
        await self.change(store_id, lambda config: store_keys.added(config, narrowed))
        return issued

    async def rotate_key(self, store_id: str, key_id: str, grace_ms: int) -> IssuedKey:
        """A new key that may what the old one may, which works on for so long."""
        now = self._clock()
        old = store_keys.find(await self.find(store_id), key_id)
        if old is None:
            raise NoSuchKey(key_id)
        issued, key = _issue(cast(KeyKind, old.kind), now)

        def renewed(config: StoreConfig) -> StoreConfig:
            found = store_keys.rotated(config, key_id, key, now + grace_ms)
            if found is None:
                raise NoSuchKey(key_id)
            return found

        await self.change(store_id, renewed)
        return issued

    async def revoke_key(self, store_id: str, key_id: str) -> None:
        """The key stops working as soon as the services have read the new version."""

        def without(config: StoreConfig) -> StoreConfig:
            found = store_keys.revoked(config, key_id)
            if found is None:
                raise NoSuchKey(key_id)
            return found

        await self.change(store_id, without)

    async def find(self, store_id: str) -> StoreConfig:
        async with self._pool.connection() as conn:
            config = await store.find(conn, store_id)
        if config is None:
            raise NoSuchStore(store_id)
        return config

    async def everyone(self) -> list[StoreConfig]:
        async with self._pool.connection() as conn:
            return await store.everyone(conn)


def _issue(kind: KeyKind, now: int) -> tuple[IssuedKey, StoreKey]:
    key, key_id = new_key(kind), f"key_{secrets.token_hex(6)}"
    return IssuedKey(key_id, kind, key), StoreKey(key_id=key_id, kind=kind, hash=hash_key(key), created_at=now)


def _next_version(config: StoreConfig, now: int) -> StoreConfig:
    version = config.version + 1
    return replace(
        config, id=ids.derived_id("store-config", config.store_id, version), version=version, occurred_at=now
    )


def _check(config: StoreConfig) -> None:
    found = tuple(faults(config))
    if found:
        raise Refused(found)


def _slug(name: str) -> str:
    return _NOT_SLUG.sub("-", name.lower()).strip("-")[:40] or "store"
