"""Connecting, rotating, testing and disconnecting. Each is a transaction that ends with telling every gateway process."""

import secrets as random
from collections.abc import Callable, Mapping

from psycopg.errors import UniqueViolation

from services.ingest.integrations import store
from services.ingest.integrations.directory import IntegrationIndex, NotKnown
from services.ingest.integrations.domain.checks import Check, Seen, checks
from services.ingest.integrations.domain.integration import Integration
from services.ingest.integrations.domain.kinds import KINDS, Fault, secret_faults, settings_of
from services.ingest.integrations.sealing import CannotOpen, KeyRing, Place
from trolleybus.db import Connection, Pool


class NoSuchIntegration(LookupError):
    """The store has none of that id."""


class AlreadyConnected(Exception):
    """The store has one of that kind."""


class NotConnected(Exception):
    """It was disconnected."""


class Refused(ValueError):
    """What was sent is not valid; each fault names its field."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.detail}" for fault in faults))
        self.faults = faults


class IntegrationService:
    """`clock` gives ms since the epoch."""

    def __init__(self, pool: Pool, keys: KeyRing, index: IntegrationIndex, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._keys = keys
        self._index = index
        self._clock = clock

    async def connect(
        self, store_id: str, kind_name: str, settings: Mapping[str, str], secrets: Mapping[str, str]
    ) -> Integration:
        """Raises Refused, AlreadyConnected."""
        kind = KINDS.get(kind_name)
        if kind is None:
            raise Refused(Fault("/kind", f"one of {', '.join(KINDS)}"))
        normalised, faults = settings_of(kind, settings)
        faults += secret_faults(kind, secrets, all_of_them=True)
        if faults:
            raise Refused(*faults)
        now = self._clock()
        integration = Integration(
            store_id=store_id,
            integration_id=f"int_{random.token_hex(8)}",
            kind=kind.name,
            settings=normalised,
            connected_at=now,
        )
        async with self._pool.connection() as conn:
            try:
                await store.insert(conn, integration)
            except UniqueViolation:
                raise AlreadyConnected(kind.name) from None
            await self._add(conn, integration, secrets, now)
            return await _found(conn, store_id, integration.integration_id)

    async def rotate(
        self, store_id: str, integration_id: str, secrets: Mapping[str, str], overlap_ms: int
    ) -> Integration:
        """New secrets; those before of the same names work on for so long. Raises Refused, NoSuchIntegration, NotConnected."""
        now = self._clock()
        async with self._pool.connection() as conn:
            integration = await store.lock(conn, store_id, integration_id)
            if integration is None:
                raise NoSuchIntegration(integration_id)
            if integration.disconnected_at:
                raise NotConnected(integration_id)
            kind = KINDS[integration.kind]
            faults = secret_faults(kind, secrets, all_of_them=False)
            if not secrets:
                remedy = "name the new one" if kind.secrets else "this kind has none: rotate the store's write key"
                faults.append(Fault("/secrets", remedy))
            if faults:
                raise Refused(*faults)
            await store.end_secrets(conn, store_id, integration_id, list(secrets), until=now + overlap_ms, now=now)
            await self._add(conn, integration, secrets, now)
            await store.changed(conn, store_id, integration_id)
            return await _found(conn, store_id, integration_id)

    async def disconnect(self, store_id: str, integration_id: str, because: str) -> Integration:
        """Deletes its secrets. Nothing where it was disconnected before. Raises NoSuchIntegration."""
        async with self._pool.connection() as conn:
            integration = await store.lock(conn, store_id, integration_id)
            if integration is None:
                raise NoSuchIntegration(integration_id)
            if not integration.disconnected_at:
                await store.disconnect(conn, store_id, integration_id, now=self._clock(), because=because)
            return await _found(conn, store_id, integration_id)

    async def find(self, store_id: str, integration_id: str) -> Integration:
        """Raises NoSuchIntegration."""
        async with self._pool.connection() as conn:
            return await _found(conn, store_id, integration_id)

    async def page(self, store_id: str, *, kind: str, before: tuple[int, str] | None, limit: int) -> list[Integration]:
        """A store's, newest first."""
        async with self._pool.connection() as conn:
            return await store.page(conn, store_id, kind=kind, before=before, limit=limit)

    async def page_of_all(self, *, kind: str, before: tuple[int, str] | None, limit: int) -> list[Integration]:
        """Every store's, for an operator."""
        async with self._pool.connection() as conn:
            return await store.page_of_all(conn, kind=kind, before=before, limit=limit)

    async def store_of(self, integration_id: str) -> str:
        """Whose it is, for an operator. Raises NoSuchIntegration."""
        async with self._pool.connection() as conn:
            store_id = await store.store_of(conn, integration_id)
        if store_id is None:
            raise NoSuchIntegration(integration_id)
        return store_id

    async def test(self, store_id: str, integration_id: str, *, has_write_key: bool) -> tuple[Check, ...]:
        """What was looked at; calls nobody. Raises NoSuchIntegration."""
        async with self._pool.connection() as conn:
            integration = await _found(conn, store_id, integration_id)
            sealed = await store.sealed_secrets(conn, store_id, integration_id)
        closed = ""
        try:
            for one in sealed:
                self._keys.open(one.sealed, one.place)
        except CannotOpen as error:
            closed = f"the secret cannot be opened: {error}"
        seen = Seen(closed, self._is_in_use(integration), has_write_key)
        return checks(integration, seen, self._clock())

    def _is_in_use(self, integration: Integration) -> bool:
        try:
            link = self._index.connected(integration.store_id, integration.kind)
        except NotKnown:
            return False
        return link is not None and (link.integration_id, link.version) == (
            integration.integration_id,
            integration.version,
        )

    async def _add(self, conn: Connection, integration: Integration, secrets: Mapping[str, str], now: int) -> None:
        for name, text in secrets.items():
            place = Place(integration.store_id, integration.integration_id, f"sec_{random.token_hex(8)}", name)
            sealed = self._keys.seal(text.encode(), place)
            await store.add_secret(conn, place, sealed, last4=text[-4:], valid_from=now)


async def _found(conn: Connection, store_id: str, integration_id: str) -> Integration:
    found = await store.find(conn, store_id, integration_id)
    if found is None:
        raise NoSuchIntegration(integration_id)
    return found
