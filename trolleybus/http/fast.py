"""The way past the framework for the few paths that everything comes in by: what the middlewares do, in one function.

It takes a POST whose body's length is declared and allowed; all else goes the framework's way.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from trolleybus.http.metrics import HttpMetrics
from trolleybus.http.middleware import REQUEST_ID, SECURITY_HEADERS
from trolleybus.http.problems import Problem, as_problem, respond
from trolleybus.telemetry import begin_trace, end_trace, get_logger

_SECURITY = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_NO_PARAMETERS = QueryParams()

logger = get_logger(__name__)


class Incoming(Protocol):
    """A request as far as handlers read it; the framework's own is one too. Names of headers are lower case."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def query_params(self) -> Mapping[str, str]: ...

    async def body(self) -> bytes: ...


class _Direct:
    """A request whose body is read when it is asked for: what nobody asks for, the server drops."""

    __slots__ = ("_query", "_receive", "headers")

    def __init__(self, headers: dict[str, str], query: bytes, receive: Receive) -> None:
        self.headers = headers
        self._query = query
        self._receive = receive

    @property
    def query_params(self) -> Mapping[str, str]:
        return QueryParams(self._query) if self._query else _NO_PARAMETERS

    async def body(self) -> bytes:
        """Once; raises ClientDisconnect where the client leaves before all is there."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            return whole
        parts: list[bytes] = []
        while message["type"] == "http.request":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()
        raise ClientDisconnect


Take = Callable[[Incoming], Awaitable[bytes]]
"""Answers 202 with these bytes of JSON, or raises a Problem."""


class FastPath:
    """`takers` by path; `metrics` are those of the app."""

    def __init__(self, app: ASGIApp, takers: Mapping[str, Take], *, metrics: HttpMetrics, max_bytes: int) -> None:
        self._app = app
        self._takers = takers
        self._metrics = metrics
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        take = self._takers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if take is None:
            await self._app(scope, receive, send)
            return
        # Of two headers of one name the first counts, as everywhere.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        length = headers.get("content-length", "")
        if not (length.isdecimal() and int(length) <= self._max_bytes):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0
        trace, before = begin_trace(headers.get("traceparent"))
        given = headers.get("x-request-id")
        request_id = given if given and REQUEST_ID.fullmatch(given) else trace.trace_id
        try:
            direct = _Direct(headers, scope["query_string"], receive)
            if request_id is trace.trace_id:  # Which logs carry anyway.
                answer = await take(direct)
            else:
                with structlog.contextvars.bound_contextvars(request_id=request_id):
                    answer = await take(direct)
            status = 202
            await send(
                {
                    "type": "http.response.start",
                    "status": 202,
                    "headers": [
                        (b"content-length", b"%d" % len(answer)),
                        (b"content-type", b"application/json"),
                        (b"x-request-id", request_id.encode()),
                        *_SECURITY,
                    ],
                }
            )
            await send({"type": "http.response.body", "body": answer})
        except ClientDisconnect:
            pass  # Nobody is there to be answered.
        except Exception as error:  # noqa: BLE001 - logged in _as_problem; the client learns the request id only
            problem = _as_problem(error, scope)
            if not status:
                status = problem.status_code
                await _refuse(problem, request_id, scope, receive, send)
        finally:
            end_trace(before)
            self._metrics.observe_soon("POST", scope["path"], status, time.perf_counter() - began)


def _as_problem(error: Exception, scope: Scope) -> Problem:
    if isinstance(error, HTTPException):
        return as_problem(error)
    logger.exception("unhandled error", method=scope["method"], route=scope["path"])
    return Problem(500, "Something went wrong", "the request id finds it in the log")


async def _refuse(problem: Problem, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
    scope.setdefault("state", {})["request_id"] = request_id
    response = respond(Request(scope), problem)
    response.headers["x-request-id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    await response(scope, receive, send)
