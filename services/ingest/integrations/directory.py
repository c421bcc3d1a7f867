"""Connected integrations in memory: what the event path asks, without waiting for anything.

PostgreSQL tells of a change (LISTEN), and is asked every few seconds besides. While it is away, what is known stays.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from services.ingest.integrations import store
from services.ingest.integrations.domain.integration import Integration, is_valid
from services.ingest.integrations.domain.kinds import SHOPIFY
from services.ingest.integrations.sealing import CannotOpen, KeyRing
from services.ingest.integrations.store import SealedSecret
from trolleybus.db import Connection, MigrationError, connect, migrate
from trolleybus.readiness import PartStatus
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)

MIGRATIONS = Path(__file__).parents[1] / "migrations"
POLL_S = 5.0
ANSWER_S = 5.0
"""A database that hangs is noticed within this."""


class NotKnown(Exception):
    """Whether the store has this integration cannot be said now, or its secrets cannot be opened: answer 503."""


@dataclass(frozen=True, slots=True)
class OpenSecret:
    """A secret in clear, in memory alone."""

    name: str
    value: bytes = field(repr=False)
    valid_until: int


@dataclass(frozen=True, slots=True)
class Link:
    """A connected integration."""

    store_id: str
    integration_id: str
    kind: str
    settings: Mapping[str, str]
    connected_at: int
    version: int
    opened: tuple[OpenSecret, ...]

    def valid(self, name: str, now_ms: int) -> tuple[bytes, ...]:
        """The secrets of that name that are valid, the newest first."""
        return tuple(one.value for one in self.opened if one.name == name and is_valid(one.valid_until, now_ms))


@dataclass(frozen=True, slots=True)
class ShopifyLink:
    """A shop at Shopify."""

    link: Link

    @property
    def shop_domain(self) -> str:
        """Lower case, such as my-shop.myshopify.com."""
        return self.link.settings["shop_domain"]

    def secrets(self, now_ms: int) -> tuple[bytes, ...]:
        """What webhooks may be signed with, the newest first."""
        return self.link.valid("webhook_secret", now_ms)


class IntegrationIndex:
    """The links by store and kind; filled by whoever reads the database."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], Link] = {}
        self._closed: dict[tuple[str, str], str] = {}  # Those whose secrets cannot be opened, and why.
        self._places: dict[str, tuple[int, tuple[str, str]]] = {}  # Version, and store and kind, by id.
        self._loaded = False

    def shopify(self, store_id: str) -> ShopifyLink | None:
        """The store's shop; None where it has none. Raises NotKnown."""
        link = self.connected(store_id, SHOPIFY)
        return None if link is None else ShopifyLink(link)

    def connected(self, store_id: str, kind: str) -> Link | None:
        """The store's integration of that kind; None where it has none. Raises NotKnown."""
        at = (store_id, kind)
        link = self._links.get(at)
        if link is None and not self._loaded:
            raise NotKnown("integrations are not known yet: PostgreSQL has not answered since the start")
        if at in self._closed:
            raise NotKnown(self._closed[at])
        return link

    def differing(self, versions: Mapping[str, int]) -> list[str]:
        """Those that are new or of another version."""
        return [one for one, version in versions.items() if self._places.get(one, (0,))[0] != version]

    def put(self, integration: Integration, opened: Iterable[OpenSecret]) -> None:
        at = self._place(integration)
        self._closed.pop(at, None)
        self._links[at] = Link(
            store_id=integration.store_id,
            integration_id=integration.integration_id,
            kind=integration.kind,
            settings=integration.settings,
            connected_at=integration.connected_at,
            version=integration.version,
            opened=tuple(opened),
        )

    def put_closed(self, integration: Integration, why: str) -> None:
        """An integration whose secrets cannot be opened."""
        at = self._place(integration)
        self._links.pop(at, None)
        self._closed[at] = why

    def keep(self, integration_ids: Mapping[str, int]) -> None:
        """Forgets all others. From here on all there are are known."""
        gone = [self._places.pop(one)[1] for one in self._places.keys() - integration_ids.keys()]
        for at in set(gone).difference(at for _, at in self._places.values()):
            self._links.pop(at, None)
            self._closed.pop(at, None)
        self._loaded = True

    @property
    def is_loaded(self) -> bool:
        return self._loaded

    @property
    def counts(self) -> tuple[int, int]:
        """Those known, and those whose secrets cannot be opened."""
        return len(self._links), len(self._closed)

    def _place(self, integration: Integration) -> tuple[str, str]:
        at = (integration.store_id, integration.kind)
        self._places[integration.integration_id] = (integration.version, at)
        return at


class Integrations(IntegrationIndex):
    """The index, kept up to date from PostgreSQL, whose tables it makes. The gateway goes on without it."""

    def __init__(
        self, url: str, keys: KeyRing, *, poll_s: float = POLL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._poll_s = poll_s
        self._url = url
        self._keys = keys
        self._clock = clock
        self._away = "not asked yet"
        self._fresh_at = clock()

    async def run(self) -> None:
        """Endless. No outage of the database ends it, nor a database that cannot be migrated: events need neither."""
        while True:
            try:
                async with asyncio.timeout(60):
                    await migrate(self._url, MIGRATIONS, report=lambda text: logger.info("migrated", what=text))
                await self._follow()
            except (psycopg.Error, MigrationError, TimeoutError) as error:
                self._away = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
                logger.warning("integrations cannot be read; going on with those known", error=self._away)
            await asyncio.sleep(1.0)

    def status(self) -> PartStatus:
        """Always ok, as events flow without it; says what is not so."""
        known, closed = self.counts
        detail = f"{known} connected" if self.is_loaded else "not known yet: webhooks are answered 503"
        if closed:
            detail += f", {closed} whose secrets cannot be opened (see the log)"
        if self._away:
            detail += f", stale for {self._clock() - self._fresh_at:.0f} s: {self._away}"
        return PartStatus(ok=True, detail=detail)

    async def _follow(self) -> None:
        async with asyncio.timeout(2 * ANSWER_S):
            conn = await connect(self._url, name="ingest integrations")
        try:
            await conn.execute(f"LISTEN {store.CHANNEL}")
            while True:
                async with asyncio.timeout(ANSWER_S):
                    await self._load(conn)
                async for _ in conn.notifies(timeout=self._poll_s, stop_after=1):
                    pass
        finally:
            await conn.close()

    async def _load(self, conn: Connection) -> None:
        versions = await store.versions(conn)
        if differing := self.differing(versions):
            integrations, secrets = await store.load(conn, differing)
            for integration in integrations:
                self._open(integration, secrets.get(integration.integration_id, ()))
        self.keep(versions)
        self._away = ""
        self._fresh_at = self._clock()

    def _open(self, integration: Integration, secrets: Sequence[SealedSecret]) -> None:
        try:
            opened = [
                OpenSecret(one.place.name, self._keys.open(one.sealed, one.place), one.valid_until) for one in secrets
            ]
        except CannotOpen as error:
            logger.error(  # noqa: TRY400 - the sentence says all
                "a secret cannot be opened", integration_id=integration.integration_id, reason=str(error)
            )
            self.put_closed(integration, f"the secret of integration {integration.integration_id}: {error}")
        else:
            self.put(integration, opened)
