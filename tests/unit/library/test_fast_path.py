"""Requests that are taken at the server's protocol, over real sockets: which they are, and what follows them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx2
import pytest
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry

from tests.eventually import eventually
from tests.unit.library.sample_service import sample_settings
from trolleybus.http import Problem, Readiness, create_app
from trolleybus.http.fast import Answered, FastPaths, Whole
from trolleybus.http.metrics import HttpMetrics
from trolleybus.http.protocol import LARGEST_BODY
from trolleybus.runtime import listen, serve
from trolleybus.telemetry import current_traceparent

PATH = "/events"


def bad() -> Problem:
    return Problem(422, "Bad é", "not good", field="/a", headers={"Retry-After": "7", "Referrer-Policy": "origin"})


@dataclass
class Server:
    """A service whose /events says by which way a request came."""

    port: int
    registry: CollectorRegistry
    held: asyncio.Event
    began: int = 0

    told: list[Answered] = field(default_factory=list)

    def take(self, request: Whole, answered: Answered) -> None:
        body = request.whole()
        if body == b"bad at once":
            self.began += 1
            raise bad()
        if body == b"tell at once":
            self.began += 1
            answered(lambda: b"told")
        elif body == b"tell":
            self.began += 1
            self.told.append(answered)
        else:
            answered(self.later(request))

    async def later(self, request: Whole) -> bytes:
        self.began += 1
        body = await request.body()
        if body == b"hold":
            await self.held.wait()
        if body == b"bad":
            raise bad()
        if body == b"broken":
            raise RuntimeError("a mistake of ours")
        if body == b"trace":
            return current_traceparent().encode()
        return b"fast %d %s %s" % (len(body), body[:20], dict(request.query_params).get("q", "").encode())

    async def has_begun(self) -> bool:
        return self.began == 1

    async def talk(self, *parts: bytes, answers: int = 1) -> bytes:
        """What comes back on one connection for these bytes, until there are so many answers or it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            return await _read(reader, answers)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def counted(self, status: int) -> float:
        labels = {"method": "POST", "route": PATH, "status": str(status)}
        return self.registry.get_sample_value("trolleybus_http_requests_total", labels) or 0.0


async def _read(reader: asyncio.StreamReader, answers: int) -> bytes:
    got = b""
    async with asyncio.timeout(10):
        while _whole(got) < answers and (chunk := await reader.read(65_536)):
            got += chunk
    return got


def _whole(got: bytes) -> int:
    """Answers that are there with all of their body."""
    found = 0
    while match := re.search(rb"\r\n\r\n", got):
        length = re.search(rb"content-length: (\d+)", got[: match.end()])
        end = match.end() + (int(length[1]) if length else 0)
        if len(got) < end:
            break
        found, got = found + 1, got[end:]
    return found


def post(body: bytes, path: str = PATH, **headers: str) -> bytes:
    """The bytes of a request; a header that is "" is left out."""
    named = {"host": "shop", "content-length": str(len(body)), **{n.replace("_", "-"): v for n, v in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    probe = listen("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    settings = sample_settings(port=port, max_body_bytes=1_000_000)
    registry = CollectorRegistry()
    server = Server(port, registry, asyncio.Event())
    metrics = HttpMetrics(registry)
    router = APIRouter()

    @router.post(PATH)
    async def slow(request: Request) -> str:
        if "x-fails" in request.headers:
            raise bad()
        return f"slow {len(await request.body())}"

    app = create_app(
        title="Fast",
        settings=settings,
        readiness=Readiness(),
        registry=registry,
        metrics=metrics,
        routers=[router],
        fast_paths=FastPaths(
            {PATH.encode(): server.take}, metrics, 1_000_000, lambda origin: ((b"vary", origin.encode()),)
        ),
    )
    task = asyncio.create_task(serve(app, settings))
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def answers() -> bool:
                with suppress(httpx2.TransportError):
                    return (await client.get("/livez")).status_code == 200
                return False

            await eventually(answers)
        yield server
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


async def test_an_answer_that_cannot_be_written_ends_its_connection_and_no_other(server: Server) -> None:
    ours, theirs = (asyncio.create_task(server.talk(post(b"tell"))) for _ in range(2))

    async def both_wait() -> bool:
        return len(server.told) == 2

    await eventually(both_wait)
    server.told[0](lambda: 3)  # type: ignore[arg-type,return-value]
    server.told[1](lambda: b"told")
    done = [one for one in await asyncio.gather(ours, theirs, return_exceptions=True) if isinstance(one, bytes) and one]
    assert [one.endswith(b"told") for one in done] == [True]


async def test_a_small_post_is_taken_and_answered_with_all_headers(server: Server) -> None:
    got = await server.talk(post(b"abc", f"{PATH}?q=1", x_request_id="mine", origin="https://a.example"))
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"fast 3 abc 1"
    assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
    names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert len(names) == len(set(names))
    assert {b"date", b"content-type", b"x-content-type-options", b"content-security-policy", b"content-length"} <= set(
        names
    )
    assert b"x-request-id: mine" in head
    assert b"vary: https://a.example" in head
    assert server.counted(202) == 1


async def test_a_body_that_comes_in_parts_is_taken_whole(server: Server) -> None:
    whole = post(b"abcdef")
    assert (await server.talk(whole[:20], whole[20:-4], whole[-4:-1], whole[-1:])).endswith(b"fast 6 abcdef ")
    assert server.began == 1


async def test_one_connection_takes_many_and_fast_and_slow_take_turns(server: Server) -> None:
    large = b"x" * (LARGEST_BODY + 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    found = []
    for body in (b"a", large, b"b", b"c"):
        writer.write(post(body))
        found.append((await _read(reader, 1)).rpartition(b"\r\n\r\n")[2])
    writer.close()
    assert found == [b"fast 1 a ", b'"slow %d"' % len(large), b"fast 1 b ", b"fast 1 c "]


async def test_requests_that_come_while_one_is_answered_wait_and_are_answered_in_order(server: Server) -> None:
    talk = asyncio.create_task(server.talk(post(b"hold") + post(b"b") + post(b"bad"), answers=3))
    await eventually(server.has_begun)
    server.held.set()
    got = await talk
    assert got.index(b"fast 4 hold") < got.index(b'"slow 1"') < got.index(b'"slow 3"')


async def test_a_client_that_leaves_in_the_middle_is_neither_taken_nor_answered(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"abc")[:-1])
    await writer.drain()
    writer.close()

    async def counted() -> bool:
        return server.counted(0) == 1

    await eventually(counted)
    assert server.began == 0


async def test_a_client_that_leaves_before_the_answer_harms_nobody(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"hold"))
    await writer.drain()
    await eventually(server.has_begun)
    writer.close()
    await writer.wait_closed()
    assert (await server.talk(post(b"x"))).endswith(b"fast 1 x ")
    server.held.set()
    assert (await server.talk(post(b"y"))).endswith(b"fast 1 y ")

    async def counted() -> bool:
        return server.counted(202) == 3

    await eventually(counted)


async def test_a_problem_is_answered_as_the_framework_does(server: Server) -> None:
    fast = await server.talk(post(b"bad", x_request_id="r"))
    slow = await server.talk(post(b"x" * (LARGEST_BODY + 1), x_request_id="r", x_fails="yes"))
    assert fast.startswith(b"HTTP/1.1 422 ")
    assert b'"request_id":"r"' in fast
    assert sorted(_lines(fast)) == sorted(_lines(slow))
    assert server.began == 1
    assert server.counted(422) == 2


def _lines(answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return [body, *(line for line in head.lower().split(b"\r\n") if not line.startswith(b"date:"))]


async def test_an_answer_that_is_told_later_is_sent_then_and_the_next_request_after_it(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"tell") + post(b"b"))
    await eventually(server.has_begun)
    server.told[0](lambda: b"told")
    got = await _read(reader, 2)
    writer.close()
    assert got.index(b"told") < got.index(b'"slow 1"')
    assert server.counted(202) == 1


async def test_an_answer_may_be_told_before_anything_is_waited_for(server: Server) -> None:
    assert (await server.talk(post(b"tell at once"))).endswith(b"told")


@pytest.mark.parametrize("error", [bad(), RuntimeError("a mistake of ours")])
async def test_what_goes_wrong_later_is_told_as_what_goes_wrong_at_once(server: Server, error: Exception) -> None:
    def answer() -> bytes:
        raise error

    talk = asyncio.create_task(server.talk(post(b"tell", x_request_id="r")))
    await eventually(server.has_begun)
    server.told[0](answer)
    later = await talk
    at_once = await server.talk(post(b"bad at once" if isinstance(error, Problem) else b"broken", x_request_id="r"))
    assert sorted(_lines(later)) == sorted(_lines(at_once))


async def test_an_answer_that_is_told_to_a_client_who_left_harms_nobody(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(b"tell"))
    await writer.drain()
    await eventually(server.has_begun)
    writer.close()
    await writer.wait_closed()
    assert (await server.talk(post(b"x"))).endswith(b"fast 1 x ")
    server.told[0](lambda: b"told")
    assert (await server.talk(post(b"y"))).endswith(b"fast 1 y ")
    assert server.counted(202) == 3


async def test_a_browser_that_asks_for_a_page_gets_the_problem_as_one(server: Server) -> None:
    got = await server.talk(post(b"bad", accept="text/html,*/*;q=0.8"))
    assert b"text/html" in got
    assert b"<h1" in got


async def test_a_mistake_of_ours_is_told_without_its_details(server: Server) -> None:
    got = await server.talk(post(b"broken"))
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"mistake of ours" not in got


async def test_a_trace_is_continued(server: Server) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    got = await server.talk(post(b"trace", traceparent=f"00-{trace_id}-b7ad6b7169203331-01"))
    assert f"00-{trace_id}-".encode() in got
    assert b"b7ad6b7169203331" not in got


async def test_whoever_wants_the_connection_closed_gets_that(server: Server) -> None:
    got = await server.talk(post(b"a", connection="close") + post(b"b"), answers=2)
    assert b"connection: close" in got
    assert _whole(got) == 1


@pytest.mark.parametrize("body", [b"bad at once", b"tell at once", b"a"])
async def test_what_comes_after_the_wish_to_close_is_not_taken(server: Server, body: bytes) -> None:
    got = await server.talk(post(body, connection="close") + post(b"b"), answers=2)
    assert b"connection: close" in got
    assert _whole(got) == 1
    assert server.began == 1


@pytest.mark.parametrize(
    ("odd", "status"),
    [
        (post(b"", content_length="", transfer_encoding="chunked") + b"3\r\nabc\r\n0\r\n\r\n", b"200"),
        (post(b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"), b"200"),
        (post(b"abc").replace(b"POST", b"PUT"), b"405"),
        (post(b"abc", "/other"), b"404"),
        (post(b"abc", expect="100-continue"), b"100"),
        (post(b"abc", upgrade="websocket", connection="upgrade"), b"200"),
        (post(b"abc", content_length="x"), b"400"),
        (post(b"abc", content_length="-1"), b"400"),
    ],
)
async def test_whatever_is_odd_goes_the_frameworks_way(server: Server, odd: bytes, status: bytes) -> None:
    assert (await server.talk(odd)).startswith(b"HTTP/1.1 " + status)
    assert server.began == 0


async def test_a_service_that_ends_answers_what_it_has_begun() -> None:
    async with serving() as server:
        talk = asyncio.create_task(server.talk(post(b"hold")))
        await eventually(server.has_begun)
        asyncio.get_running_loop().call_later(0.2, server.held.set)  # While it drains.
    assert (await talk).endswith(b"fast 4 hold ")


async def test_a_service_that_ends_sends_what_is_told_while_it_drains() -> None:
    async with serving() as server:
        talk = asyncio.create_task(server.talk(post(b"tell")))
        await eventually(server.has_begun)
        asyncio.get_running_loop().call_later(0.2, lambda: server.told[0](lambda: b"told"))
    assert (await talk).endswith(b"told")
