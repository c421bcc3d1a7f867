"""Cross-origin requests: answered for the origins that stores list; which key may come from where is checked later."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.api.callers import Directory
from services.ingest.domain.access import normalise_origin

_PREFIXES = ("/api/", "/v1/")
_VARY = b"vary", b"Origin"
_EXPOSED = b"access-control-expose-headers", b"Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, traceparent, x-api-key, x-request-id, "
    "x-retry-count",
    "access-control-max-age": "600",
}


class Origins:
    """The origins of all active stores."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._known: frozenset[str] = frozenset()
        self._as_of = -1

    def __contains__(self, origin: str) -> bool:
        if self._as_of != self._directory.changes:
            self._as_of = self._directory.changes
            listed = (origin for store in self._directory.all() if store.active for origin in store.origins)
            self._known = frozenset(filter(None, map(normalise_origin, listed)))
        return normalise_origin(origin) in self._known

    def headers_for(self, origin: str) -> Sequence[tuple[bytes, bytes]]:
        """What an answer must carry, so that pages of that origin may read it where they are one of ours."""
        if origin not in self:
            return (_VARY,)
        return _VARY, (b"access-control-allow-origin", origin.encode("latin-1")), _EXPOSED


class Cors:
    """A preflight carries no key, so it is answered for all origins that are known."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIXES):
            await self._app(scope, receive, send)
            return
        if not any(name == b"origin" and value for name, value in scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(origin, origin in self._origins, send)
            return

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in self._origins.headers_for(origin):
                    if name == b"vary":
                        answer.add_vary_header(value.decode())
                    else:
                        answer[name.decode()] = value.decode("latin-1")
            await send(message)

        await self._app(scope, receive, send_with_origin)

    async def _preflight(self, origin: str, is_ours: bool, send: Send) -> None:
        answer = MutableHeaders({"vary": "Origin", "content-length": "0"})
        if is_ours:
            answer.update({"access-control-allow-origin": origin, **_PREFLIGHT})
        await send({"type": "http.response.start", "status": 204 if is_ours else 403, "headers": answer.raw})
        await send({"type": "http.response.body", "body": b""})
