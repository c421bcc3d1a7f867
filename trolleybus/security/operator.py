"""Who may use the admin API and the pages: the operator's token, or a session that was signed in with a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response

from trolleybus.http.problems import Problem
from trolleybus.security.keys import equal
from trolleybus.security.tokens import BadToken, Tokens
from trolleybus.settings import ServiceSettings

# Cookies know no ports: on one host this one session serves all five services.
SESSION_COOKIE = "trolleybus_session"
SESSION_TTL_S = 12 * 3600
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Operator:
    subject: str
    scopes: frozenset[str]


def operator_required(settings: ServiceSettings, scope: str = "operator") -> Callable[[Request], Operator]:
    """A dependency: `Depends(operator_required(settings))`. 401 without a proof, 403 without the scope."""
    tokens = Tokens(settings.signing_keys)
    operator_token = settings.operator_token.get_secret_value()

    def required(request: Request) -> Operator:
        operator = _by_header(request) or _by_cookie(request)
        if operator is None:
            raise Problem(
                401,
                "Sign in",
                "send `Authorization: Bearer <operator token>`, or open a link from `trolleybus sign-in`",
                headers={"WWW-Authenticate": 'Bearer realm="trolleybus"'},
            )
        if scope not in operator.scopes:
            raise Problem(403, "Not allowed", f"this session lacks the scope {scope!r}")
        return operator

    def _by_header(request: Request) -> Operator | None:
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        credential = credential.strip()
        if kind.lower() != "bearer" or not credential:
            return None
        if equal(credential, operator_token):
            return Operator("operator-token", frozenset({"operator", scope}))
        return _by_token(credential)

    def _by_cookie(request: Request) -> Operator | None:
        operator = _by_token(request.cookies.get(SESSION_COOKIE, ""))
        if operator is not None and request.method not in _SAFE_METHODS:
            _same_origin_required(request)
        return operator

    def _by_token(token: str) -> Operator | None:
        try:
            claims = tokens.verify(token)
        except BadToken:
            return None
        return Operator(claims.subject, claims.scopes)

    return required


def session_cookie(response: Response, token: str, *, secure: bool = False, ttl_s: int = SESSION_TTL_S) -> None:
    """Signs the browser in; `secure` wherever the pages are served by https."""
    response.set_cookie(SESSION_COOKIE, token, max_age=ttl_s, path="/", secure=secure, httponly=True, samesite="strict")


def _same_origin_required(request: Request) -> None:
    """The other services' pages share the cookie (same host, other port), so SameSite alone does not part them."""
    origin = request.headers.get("origin", "")
    if not origin or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Problem(403, "Another site asked", "a change by session must come from a page of this service")
