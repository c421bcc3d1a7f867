"""Signing in by a link that works once."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.campaigns.accounts import store
from services.campaigns.settings import CampaignsSettings
from trolleybus.db import Pool
from trolleybus.security import Tokens, hash_key
from trolleybus.security.operator import SESSION_TTL_S


class NotOurs(ValueError):
    """`next` leads elsewhere than to one of the five services."""


class BadCode(Exception):
    """Unknown, used or too old."""


@dataclass(frozen=True, slots=True)
class SignInLink:
    url: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Session:
    token: str
    next_url: str


class Accounts:
    def __init__(self, pool: Pool, settings: CampaignsSettings, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._tokens = Tokens(settings.signing_keys)
        self._own = [
            settings.ingest_url,
            settings.abandonment_url,
            settings.campaigns_url,
            settings.messaging_url,
            settings.analytics_url,
        ]
        self._campaigns_url = settings.campaigns_url
        self._first_page = f"{settings.analytics_url}/"
        self._ttl_ms = settings.sign_in_link_seconds * 1000
        self._clock = clock

    async def link(self, next_url: str) -> SignInLink:
        """Raises NotOurs. Without `next_url` it leads to the dashboard."""
        if next_url and not self._is_ours(next_url):
            raise NotOurs(next_url)
        code, now = secrets.token_urlsafe(32), self._clock()
        expires_at = now + self._ttl_ms
        async with self._pool.connection() as conn:
            await store.insert(conn, hash_key(code), next_url or self._first_page, expires_at, now)
        return SignInLink(f"{self._campaigns_url}/sign-in?code={code}", expires_at)

    async def sign_in(self, code: str) -> Session:
        """Raises BadCode."""
        async with self._pool.connection() as conn:
            next_url = await store.use(conn, hash_key(code), self._clock())
        if next_url is None:
            raise BadCode
        return Session(self._tokens.issue("operator", ["operator"], SESSION_TTL_S), next_url)

    def _is_ours(self, url: str) -> bool:
        """By scheme, host and port as parsed: a prefix alone would let `http://host:8103@elsewhere` pass."""
        if "\\" in url or any(char.isspace() or not char.isprintable() for char in url):
            return False
        try:
            given = urlsplit(url)
        except ValueError:
            return False
        return any((given.scheme, given.netloc) == (one.scheme, one.netloc) for one in map(urlsplit, self._own))
