"""Who calls: a store by its key, from a server or from a browser on the store's own pages."""

import base64
import binascii
from collections.abc import Collection
from typing import Protocol

from services.ingest.domain.access import is_listed
from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.stores import StoreConfig, StoreKey, scopes_of
from trolleybus.http import Problem
from trolleybus.http.fast import Incoming

MOST_CALLERS = 10_000


class Directory(Protocol):
    """The part of trolleybus.store_directory.StoreDirectory that is used here."""

    def by_key(self, key: str, now: int | None = None) -> tuple[StoreConfig, StoreKey] | None: ...

    def all(self) -> Collection[StoreConfig]: ...

    @property
    def changes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """A store and its key, and whether that is one that anyone can read in the store's pages."""

    store: StoreConfig
    key: StoreKey
    is_public: bool


class Callers:
    """Callers by the headers that name them: who called a moment ago calls again. A change of any store is heeded at once."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: dict[tuple[str, str, str], Caller] = {}
        self._as_of = -1

    def of(self, request: Incoming, scope: str, now: int, key_in_body: str = "") -> Caller:
        """As caller_of."""
        headers = request.headers
        named = scope, headers.get("authorization", ""), headers.get("origin", "")
        is_whole = named[1] and not key_in_body and not request.query_params
        if self._as_of != self._directory.changes or len(self._known) > MOST_CALLERS:
            self._as_of = self._directory.changes
            self._known.clear()
        found = self._known.get(named) if is_whole else None
        if found is None or 0 < found.key.expires_at <= now:
            found = caller_of(request, self._directory, scope, now, key_in_body)
            if is_whole:
                self._known[named] = found
        return found


def caller_of(request: Incoming, directory: Directory, scope: str, now: int, key_in_body: str = "") -> Caller:
    """The caller, by the key in the body where one stood there; raises 401 for a key that nobody has, 403 for one that may
    not do this, or not from there."""
    found = directory.by_key(key_in_body or _key_in(request), now)
    if found is None:
        raise _unknown()
    store, key = found
    if scope not in scopes_of(key):
        raise Problem(
            403,
            "This key may not do this",
            f"a {key.kind} key of this store lacks the scope {scope!r}"
            + ("; the shop's server has it, with the store's secret key" if key.kind == "write" else ""),
            field="header/authorization",
        )
    is_public = key.kind != "secret"
    if not is_public and "write_key" in request.query_params:
        raise Problem(
            403,
            "A secret key has no place in an address",
            "addresses are kept in logs: send it as a header, and replace this secret key",
            field="query/write_key",
        )
    origin = request.headers.get("origin", "")
    if origin and not is_public:
        raise Problem(
            403,
            "A secret key has no place in a browser",
            "use the store's write key in pages, and replace this secret key: others may have read it",
            field="header/origin",
        )
    if origin and not is_listed(origin, store.origins):
        raise Problem(
            403,
            "Not one of the store's origins",
            "add the page's origin to the store's settings, or send without a browser",
            field="header/origin",
        )
    return Caller(store, key, is_public)


def _key_in(request: Incoming) -> str:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    credential = credential.strip()
    match scheme.lower():
        case "bearer":
            key = credential
        case "basic":
            key = _basic(credential)
        case _:
            key = request.headers.get("x-api-key", "").strip()
    key = key or request.query_params.get("write_key", "").strip()  # A beacon has no headers of its own.
    if not key:
        raise _unknown()
    return key


def _basic(credential: str) -> str:
    """The key as the user's name with an empty password, or the other way round."""
    try:
        user, _, password = base64.b64decode(credential, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return user or password


def _unknown() -> Problem:
    return Problem(
        401,
        "No store has this key",
        "send a key of the store: `Authorization: Bearer <key>`, Basic with the key as user, X-API-Key, "
        "or ?write_key= from a page",
        field="header/authorization",
        headers={"WWW-Authenticate": 'Bearer realm="trolleybus"'},
    )
