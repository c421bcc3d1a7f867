"""Cross-origin requests: answered for the origins that stores list; which key may come from where is checked later."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.ingest.api.callers import Directory
from services.ingest.domain.access import normalise_origin

_PREFIXES = ("/api/", "/v1/")
_EXPOSED = "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, traceparent, x-api-key, x-request-id, "
    "x-retry-count",
    "access-control-max-age": "600",
}


class Cors:
    """A preflight carries no key, so it is answered for the origins of all active stores."""

    def __init__(self, app: ASGIApp, directory: Directory) -> None:
        self._app = app
        self._directory = directory
        self._origins: frozenset[str] = frozenset()
        self._as_of = -1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIXES):
            await self._app(scope, receive, send)
            return
        if not any(name == b"origin" and value for name, value in scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        is_ours = normalise_origin(origin) in self._known()
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(origin, is_ours, send)
            return

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(raw=message.setdefault("headers", []))
                answer.add_vary_header("Origin")
                if is_ours:
                    answer["access-control-allow-origin"] = origin
                    answer["access-control-expose-headers"] = _EXPOSED
            await send(message)

        await self._app(scope, receive, send_with_origin)

    def _known(self) -> frozenset[str]:
        if self._as_of != self._directory.changes:
            self._as_of = self._directory.changes
            listed = (origin for store in self._directory.all() if store.active for origin in store.origins)
            self._origins = frozenset(filter(None, map(normalise_origin, listed)))
        return self._origins

    async def _preflight(self, origin: str, is_ours: bool, send: Send) -> None:
        answer = MutableHeaders({"vary": "Origin", "content-length": "0"})
        if is_ours:
            answer.update({"access-control-allow-origin": origin, **_PREFLIGHT})
        await send({"type": "http.response.start", "status": 204 if is_ours else 403, "headers": answer.raw})
        await send({"type": "http.response.body", "body": b""})
