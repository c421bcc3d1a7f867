"""The way past the framework for the few paths that everything comes in by: from the server's protocol straight to what takes
the request, and its answer straight to the socket.

It is for a POST with a small body of declared length; all else goes the framework's way, to the same answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any, cast

import orjson
import structlog
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from trolleybus.http.fast import Answer, FastPaths, Take
from trolleybus.http.middleware import REQUEST_ID, SECURITY_HEADERS
from trolleybus.http.problems import MEDIA_TYPE, Problem, as_problem, document, prefers_html, respond
from trolleybus.telemetry import begin_trace, get_logger

LARGEST_BODY = 65_536
"""Bytes; as much as the server reads ahead of any application. What is larger is read when somebody asks for it."""

_SECURITY = b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items())
_ACCEPTED = STATUS_LINE[202] + b"content-type: application/json\r\n" + _SECURITY
_NO_PARAMETERS = QueryParams()

logger = get_logger(__name__)


class _Exchange:
    """A request whose body is whole, and how its answer ends. It stands where the server keeps its own."""

    __slots__ = (
        "began",
        "context",
        "headers",
        "is_whole",
        "keep_alive",
        "parts",
        "path",
        "query",
        "request_id",
        "response_complete",
        "take",
    )

    def __init__(self, take: Take, path: bytes, query: bytes, headers: dict[str, str], keep_alive: bool) -> None:
        self.take = take
        self.path = path
        self.query = query
        self.headers = headers
        self.keep_alive = keep_alive
        self.began = time.perf_counter()
        self.parts: list[bytes] = []
        self.is_whole = False
        self.response_complete = False
        self.request_id = ""
        self.context: Context = copy_context()  # What is bound in the course of it is its own.

    @property
    def query_params(self) -> Mapping[str, str]:
        return QueryParams(self.query) if self.query else _NO_PARAMETERS

    async def body(self) -> bytes:
        return self.whole()

    def whole(self) -> bytes:
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def drop(self) -> None:
        self.parts.clear()


class FastProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for an app that has `state.fast_paths`. A request that it takes has no scope, no messages, and one
    write; what follows it on the connection is uvicorn's business again."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app = cast(Any, config.app)
        self._fast: FastPaths = self._app.state.fast_paths
        self._largest = min(LARGEST_BODY, self._fast.max_bytes)

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        if self._begins_exchange():
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        exchange: object = self.cycle
        if type(exchange) is _Exchange and not exchange.is_whole:
            exchange.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        exchange: object = self.cycle
        if type(exchange) is _Exchange and not exchange.is_whole:
            exchange.is_whole = True
            exchange.context.run(self._take, exchange)
        else:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange: object = self.cycle
        if type(exchange) is _Exchange:
            if not exchange.is_whole:
                self._count(exchange, 0)
            self.cycle = None  # type: ignore[assignment]  # as before the first request
        super().connection_lost(exc)

    def _begins_exchange(self) -> bool:
        path, _, query = self.url.partition(b"?")
        take = self._fast.takers.get(path)
        if take is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.expect_100_continue or self.parser.should_upgrade():
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # It waits behind another.
        # Of two headers of one name the first counts, as everywhere.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(self.headers)}
        length = headers.get("content-length", "")
        if not (length.isdecimal() and int(length) <= self._largest) or "transfer-encoding" in headers:
            return False
        keep_alive = self.parser.should_keep_alive()
        self.cycle = _Exchange(take, path, query, headers, keep_alive)  # type: ignore[assignment]  # in its place
        return True

    def _take(self, exchange: _Exchange) -> None:
        headers = exchange.headers
        trace, _ = begin_trace(headers.get("traceparent"))
        given = headers.get("x-request-id")
        exchange.request_id = trace.trace_id
        if given and REQUEST_ID.fullmatch(given):
            exchange.request_id = given
            structlog.contextvars.bind_contextvars(request_id=given)
        try:
            exchange.take(exchange, partial(self._answered, exchange))
        except Exception as error:  # noqa: BLE001 - logged in _as_problem; the client learns the request id only
            self._reply(exchange, *self._refusal(error, exchange))

    def _answered(self, exchange: _Exchange, answer: Answer) -> None:
        """Told by whom it may, who has others to tell; in a copy of the context, since that may be within `_take`."""
        try:
            exchange.context.copy().run(self._tell, exchange, answer)
        except Exception:
            logger.exception("an answer could not be written", route=exchange.path.decode("latin-1"))
            self.transport.abort()

    def _tell(self, exchange: _Exchange, answer: Answer) -> None:
        if isinstance(answer, Coroutine):
            self.tasks.add(self.loop.create_task(self._await(exchange, answer)))
            return
        try:
            told = 202, _ACCEPTED, answer()
        except Exception as error:  # noqa: BLE001 - as in _take
            told = self._refusal(error, exchange)
        if self.flow.write_paused:
            self.tasks.add(self.loop.create_task(self._reply_in_time(exchange, *told)))
        else:
            self._reply(exchange, *told)

    async def _await(self, exchange: _Exchange, rest: Coroutine[Any, Any, bytes]) -> None:
        try:
            told = 202, _ACCEPTED, await rest
        except Exception as error:  # noqa: BLE001 - as in _take
            told = self._refusal(error, exchange)
        except asyncio.CancelledError:
            self._ended()
            self.transport.close()
            self._count(exchange, 0)
            raise
        await self._reply_in_time(exchange, *told)

    async def _reply_in_time(self, exchange: _Exchange, status: int, head: bytes, body: bytes) -> None:
        """When the client has read enough of what it got before."""
        try:
            if self.flow.write_paused:
                await self.flow.drain()
            self._reply(exchange, status, head, body)
        finally:
            self._ended()

    def _ended(self) -> None:
        """Not by a callback, which would be one more thing for the event loop to run."""
        self.tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _reply(self, exchange: _Exchange, status: int, head: bytes, body: bytes) -> None:
        self._finish(
            exchange, [head, *self._shared_lines(exchange.headers), _lines_of(exchange.request_id, body)], body
        )
        self._count(exchange, status)

    def _finish(self, exchange: _Exchange, lines: list[bytes], body: bytes) -> None:
        exchange.response_complete = True
        if self.transport.is_closing():
            return
        for name, value in self.server_state.default_headers:
            lines.append(b"%s: %s\r\n" % (name, value))
        if not exchange.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self.transport.write(b"".join(lines))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _shared_lines(self, headers: Mapping[str, str]) -> list[bytes]:
        origin = headers.get("origin")
        return [b"%s: %s\r\n" % line for line in self._fast.shared(origin)] if origin else []

    def _refusal(self, error: Exception, exchange: _Exchange) -> tuple[int, bytes, bytes]:
        """Status, head and body of a problem's response, as the framework's."""
        problem = _as_problem(error, exchange)
        status = problem.status_code
        if prefers_html(exchange.headers.get("accept", "")):
            return status, *self._page(problem, exchange)
        headers = {name.lower(): value for name, value in (problem.headers or {}).items()}
        if headers.pop("connection", "").lower() == "close":
            exchange.keep_alive = False
        named = {"content-type": MEDIA_TYPE, **SECURITY_HEADERS, **headers}
        lines = "".join([f"{name}: {value}\r\n" for name, value in named.items()])
        head = STATUS_LINE[status] + lines.encode("latin-1")
        return status, head, orjson.dumps(document(problem, exchange.path.decode("latin-1"), exchange.request_id))

    def _page(self, problem: Problem, exchange: _Exchange) -> tuple[bytes, bytes]:
        """The same for a browser, made by the framework."""
        path = exchange.path.decode("latin-1")
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "scheme": self.scheme,
            "server": self.server,
            "root_path": "",
            "path": path,
            "raw_path": exchange.path,
            "query_string": exchange.query,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in exchange.headers.items()],
            "app": self._app,
            "state": {"request_id": exchange.request_id},
        }
        response = respond(Request(scope), problem)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if response.headers.get("connection", "").lower() == "close":
            exchange.keep_alive = False
        ours = {b"content-length", b"connection"}
        lines = [b"%s: %s\r\n" % line for line in response.raw_headers if line[0] not in ours]
        return STATUS_LINE[problem.status_code] + b"".join(lines), bytes(response.body)

    def _count(self, exchange: _Exchange, status: int) -> None:
        seconds = time.perf_counter() - exchange.began
        self._fast.metrics.observe_soon("POST", exchange.path.decode("latin-1"), status, seconds)


def _lines_of(request_id: str, body: bytes) -> bytes:
    return b"x-request-id: %s\r\ncontent-length: %d\r\n" % (request_id.encode(), len(body))


def _as_problem(error: Exception, exchange: _Exchange) -> Problem:
    if isinstance(error, HTTPException):
        return as_problem(error)
    logger.exception("unhandled error", method="POST", route=exchange.path.decode("latin-1"))
    return Problem(500, "Something went wrong", "the request id finds it in the log")
