"""The way past the framework: which requests take it, and what it does with them."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from trolleybus.http import Problem
from trolleybus.http.fast import FastPath, Incoming
from trolleybus.http.metrics import HttpMetrics

PATH = "/events"


async def take(request: Incoming) -> bytes:
    if "x-stranger" in request.headers:
        raise Problem(401, "Unknown")
    body = await request.body()
    if body == b"bad":
        raise Problem(422, "Bad", headers={"Retry-After": "7"})
    return body


async def framework(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def answer(
    *parts: Message,
    length: str | None = None,
    method: str = "POST",
    path: str = PATH,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> list[Any]:
    """What was sent for a request that comes in these messages."""
    waiting, sent = list(parts), []
    declared = str(sum(len(part.get("body", b"")) for part in parts)) if length is None else length

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [*([(b"content-length", declared.encode())] if declared else []), *headers],
    }
    front = FastPath(framework, {PATH: take}, metrics=HttpMetrics(CollectorRegistry()), max_bytes=10)
    await front(scope, receive, send)
    return sent


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_that_comes_in_parts_is_taken_whole() -> None:
    start, body = await answer(part(b"a", more=True), part(b"", more=True), part(b"bc"))
    assert (start["status"], body["body"]) == (202, b"abc")


async def test_a_client_that_leaves_in_the_middle_is_neither_taken_nor_answered() -> None:
    assert await answer(part(b"a", more=True), {"type": "http.disconnect"}, length="3") == []


async def test_a_stranger_is_refused_before_the_body_is_read() -> None:
    start, _ = await answer(length="5", headers=[(b"x-stranger", b"1")])  # To read would fail: nothing comes.
    assert start["status"] == 401


async def test_a_problem_is_answered_as_one_with_its_headers() -> None:
    start, _ = await answer(part(b"bad"))
    headers = dict(start["headers"])
    assert (start["status"], headers[b"retry-after"]) == (422, b"7")
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-request-id"]


@pytest.mark.parametrize(
    "odd", [{"length": ""}, {"length": "11"}, {"length": "-1"}, {"length": "x"}, {"method": "GET"}, {"path": "/other"}]
)
async def test_whatever_is_odd_goes_the_frameworks_way(odd: dict[str, Any]) -> None:
    start, _ = await answer(part(b"abc"), **odd)
    assert start["status"] == 299
