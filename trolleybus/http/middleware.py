"""Pure ASGI middlewares: they add no task a request and never buffer a stream."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trolleybus.http.metrics import HttpMetrics
from trolleybus.http.problems import Problem, as_problem, respond
from trolleybus.readiness import Readiness
from trolleybus.telemetry import continue_trace, get_logger

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"
)
# A response that sets one of these itself keeps its own.
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cache-control": "no-store",
}
_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_S = 5.0
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

logger = get_logger(__name__)


class RequestContext:
    """Request id, trace, headers and figures of each request; the last catch of what went wrong in it."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, route_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._metrics = metrics
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        began = time.perf_counter()
        status = 0
        streams_events = False

        with continue_trace(headers.get("traceparent")) as trace:
            given = headers.get("x-request-id", "")
            request_id = given if REQUEST_ID.fullmatch(given) else trace.trace_id
            scope.setdefault("state", {})["request_id"] = request_id

            async def send_with_headers(message: Message) -> None:
                nonlocal status, streams_events
                if message["type"] == "http.response.start":
                    status = message["status"]
                    answer = MutableHeaders(raw=message.setdefault("headers", []))
                    streams_events = answer.get("content-type", "").startswith("text/event-stream")
                    answer["x-request-id"] = request_id
                    for name, value in SECURITY_HEADERS.items():
                        answer.setdefault(name, value)
                await send(message)

            with structlog.contextvars.bound_contextvars(request_id=request_id):
                try:
                    await self._app(scope, receive, send_with_headers)
                except Exception as error:  # noqa: BLE001 - logged here, once; the client learns the request id only
                    problem = self._as_problem(error, scope)
                    if status == 0:
                        await respond(Request(scope), problem)(scope, receive, send_with_headers)
                    # else: begun already; returning without its end makes the server cut the connection
                finally:
                    # How long an event stream stayed open is no duration of a request.
                    seconds = None if streams_events else time.perf_counter() - began
                    self._metrics.observe(scope["method"], self._route_of(scope), status, seconds)

    def _as_problem(self, error: Exception, scope: Scope) -> Problem:
        if isinstance(error, HTTPException):
            return as_problem(error)
        logger.exception("unhandled error", method=scope["method"], route=self._route_of(scope))
        return Problem(500, "Something went wrong", "the request id finds it in the log")


class BodyLimit:
    """413 for a body over the limit: at once where its length is declared, else as soon as the bytes say so.

    A client that is still sending would find its connection reset instead of the answer: so what it sends is read and
    dropped after the answer, up to a bound.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        received = 0
        is_over = is_read = False

        async def counted() -> Message:
            nonlocal received, is_over, is_read
            message = await receive()
            received += len(message.get("body", b""))
            is_read = not message.get("more_body", False)
            if received > self._max_bytes:
                is_over = True
                raise self._too_large()
            return message

        async def send_and_drain(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not is_over or is_read or not is_last:
                await send(message)
                return
            await send({**message, "more_body": True})
            await _drain(receive)
            await send({"type": "http.response.body", "body": b""})

        if declared.isdecimal() and int(declared) > self._max_bytes:
            is_over = True
            is_read = "expect" in headers  # It waits for leave to send, and gets none.
            await respond(Request(scope), self._too_large())(scope, receive, send_and_drain)
            return
        await self._app(scope, counted, send_and_drain)

    def _too_large(self) -> Problem:
        return Problem(413, "Body too large", f"at most {self._max_bytes} bytes", headers={"Connection": "close"})


async def _drain(receive: Receive) -> None:
    """Reads and drops the rest of a request, or as much of it as is bearable."""
    dropped = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while dropped < _DRAIN_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


class EndStreamsOnDrain:
    """Ends server-sent event streams when the process drains: to their handler it looks as if the client had left."""

    def __init__(self, app: ASGIApp, *, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body_read = False
        stream_open = False

        async def send_noticed(message: Message) -> None:
            nonlocal stream_open
            if message["type"] == "http.response.start":
                stream_open = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                stream_open = False
            await send(message)

        async def receive_or_drain() -> Message:
            nonlocal body_read
            if not body_read:
                message = await receive()
                body_read = not message.get("more_body", False)
                return message
            # The request is read: whoever still receives waits for the client to leave.
            leaving = asyncio.ensure_future(receive())
            draining = asyncio.ensure_future(self._readiness.draining.wait())
            try:
                await asyncio.wait({leaving, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not leaving.done() and stream_open:
                    return {"type": "http.disconnect"}
                return await leaving
            finally:
                leaving.cancel()
                draining.cancel()

        await self._app(scope, receive_or_drain, send_noticed)
        if stream_open and self._readiness.draining.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
