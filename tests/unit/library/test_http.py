import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from tests.unit.library.sample_service import build, sample_settings
from trolleybus.http import Readiness, create_app
from trolleybus.telemetry import configure_logging

JSON = {"content-type": "application/json"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def app() -> FastAPI:
    return build(sample_settings())


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.example.com") as client, lifespan(app):
        yield client


def lifespan(app: FastAPI) -> Any:
    return app.router.lifespan_context(app)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("analytics", "info", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def test_fields_that_are_not_valid_are_named_by_pointer_without_their_values(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/v1/carts/a?limit=0", json={"lines": [{"sku": ["hush"]}]})
    body = problem(response, 422)
    assert [error["field"] for error in body["errors"]] == ["query/limit", "/lines/0/sku", "/lines/0/price"]
    assert "hush" not in response.text


async def test_a_pointer_escapes_what_stands_for_itself(client: httpx2.AsyncClient) -> None:
    body = problem(await client.post("/api/v1/carts/a", json={"lines": [], "notes": {"a/b~c": "x"}}), 422)
    assert [error["field"] for error in body["errors"]] == ["/notes/a~1b~0c"]


async def test_broken_json_is_a_400(client: httpx2.AsyncClient) -> None:
    problem(await client.post("/api/v1/carts/a", content="{", headers=JSON), 400)


async def test_another_media_type_is_a_415_that_says_what_is_accepted(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/v1/carts/a", content="{}", headers={"content-type": "text/csv"})
    assert "application/json, not text/csv" in problem(response, 415)["detail"]
    assert response.headers["accept"] == "application/json"


async def test_json_with_a_charset_or_a_suffix_is_json(client: httpx2.AsyncClient) -> None:
    for media_type in ("application/json; charset=utf-8", "application/cloudevents+json"):
        headers = {"content-type": media_type}
        response = await client.post("/api/v1/carts/a", content='{"lines": []}', headers=headers)
        assert response.status_code == 200, response.text


async def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405_with_what_is_allowed(
    client: httpx2.AsyncClient,
) -> None:
    assert problem(await client.get("/nowhere"), 404)["instance"] == "/nowhere"
    response = await client.delete("/api/v1/busy")
    problem(response, 405)
    assert response.headers["allow"] == "GET"


async def test_the_bare_address_leads_to_the_reference_where_a_service_has_no_page_there(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs"])
async def test_a_monitor_may_ask_for_the_headers_alone(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.head(path)).status_code == (await client.get(path)).status_code


async def test_a_wrong_method_is_told_those_of_all_routes_of_the_path(app: FastAPI, client: httpx2.AsyncClient) -> None:
    router = APIRouter(prefix="/api/v1/things")

    @router.get("/{thing}")
    async def read(thing: str) -> None: ...

    @router.put("/{thing}")
    async def write(thing: str) -> None: ...

    app.include_router(router)
    assert (await client.delete("/api/v1/things/7")).headers["allow"] == "GET, PUT"


async def test_a_declared_body_over_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/api/v1/bytes", content=b"x" * 1000)).json() == 1000
    problem(await client.post("/api/v1/bytes", content=b"x" * 1001), 413)
    problem(await client.post("/body-is-not-even-read", content=b"x" * 1001), 413)


async def test_a_streamed_body_over_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    problem(await client.post("/api/v1/bytes", content=chunks()), 413)


@pytest.mark.parametrize("declared", [b"5000", None])
async def test_a_client_that_still_sends_too_much_is_answered_first_and_then_read_to_its_end(
    app: FastAPI, client: httpx2.AsyncClient, declared: bytes | None
) -> None:
    left = [b"x" * 500] * 10
    story: list[str] = []

    async def receive() -> dict[str, Any]:
        story.append("read")
        chunk = left.pop()
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: Any) -> None:
        story.append(f"{message['type']} {len(message.get('body', b''))} {message.get('more_body')}")

    headers = [(b"content-type", b"application/json")] + ([(b"content-length", declared)] if declared else [])
    scope = {"type": "http", "method": "POST", "path": "/api/v1/bytes", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert left == []
    answered = next(index for index, step in enumerate(story) if step.startswith("http.response.body"))
    assert story[answered].endswith("True")
    assert story[answered + 1 :] == ["read"] * story[answered + 1 :].count("read") + ["http.response.body 0 None"]
    assert story[answered + 1] == "read"


async def test_a_client_that_asks_before_it_sends_is_not_waited_for(app: FastAPI, client: httpx2.AsyncClient) -> None:
    async def receive() -> Any:
        raise AssertionError("nothing is read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"5000"), (b"expect", b"100-continue")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/bytes", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == 413


async def test_a_problem_keeps_its_headers_and_names_its_field(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/v1/busy")
    body = problem(response, 503)
    assert response.headers["retry-after"] == "2"
    assert (body["title"], body["detail"]) == ("Kafka is away", "try again")
    assert body["errors"] == [{"field": "/events/0", "detail": "try again"}]


async def test_an_unhandled_error_is_logged_once_with_its_trace_and_leaks_nothing(
    log: io.StringIO, client: httpx2.AsyncClient
) -> None:
    response = await client.get("/api/v1/boom", headers={"x-request-id": "abc-1"})
    assert problem(response, 500)["request_id"] == "abc-1"
    assert "broke" not in response.text
    (entry,) = [json.loads(line) for line in log.getvalue().splitlines() if "loop left" not in line]
    assert (entry["request_id"], entry["route"], entry["level"]) == ("abc-1", "/api/v1/boom", "error")
    assert "RuntimeError: [email] broke it" in entry["exception"]


async def test_a_request_id_that_is_not_safe_is_replaced(client: httpx2.AsyncClient) -> None:
    for given in ('"><script>', "x" * 129, ""):
        response = await client.get("/livez", headers={"x-request-id": given})
        assert response.headers["x-request-id"] != given
        assert len(response.headers["x-request-id"]) == 32


async def test_the_trace_of_the_caller_goes_on(client: httpx2.AsyncClient) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    seen = (await client.get("/api/v1/trace", headers={"traceparent": parent})).json()
    assert seen.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert seen != parent


async def test_a_browser_gets_the_problem_as_a_page_that_escapes_its_text(client: httpx2.AsyncClient) -> None:
    response = await client.get("/<script>alert(1)</script>", headers=BROWSER)
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in response.text
    page = await client.post("/api/v1/carts/a", json={"lines": [{"<b>": 1}]}, headers=BROWSER)
    assert page.status_code == 422
    assert "<code>/lines/0/sku</code>" in page.text


async def test_a_browser_without_a_session_is_told_how_to_sign_in(client: httpx2.AsyncClient) -> None:
    response = await client.get("/api/v1/secret", headers=BROWSER)
    assert response.status_code == 401
    assert "trolleybus sign-in" in response.text
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_answer_has_the_safe_headers(client: httpx2.AsyncClient) -> None:
    for path in ("/livez", "/nowhere", "/api/v1/boom", "/static/trolleybus.css", "/docs"):
        headers = (await client.get(path)).headers
        assert "script-src 'self';" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "x-request-id" in headers


async def test_a_response_keeps_the_policy_that_it_sets_itself(client: httpx2.AsyncClient) -> None:
    headers = (await client.get("/api/v1/own-policy")).headers
    assert headers.get_list("content-security-policy") == ["sandbox"]
    assert headers.get_list("cache-control") == ["private"]


async def test_readyz_names_the_part_that_is_not_ready(client: httpx2.AsyncClient, app: FastAPI) -> None:
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)
    assert response.json()["parts"] == {"database": {"ok": True, "detail": "8 connections"}}
    app.state.readiness.fail("consumer", "died: OSError")
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert response.json()["parts"]["consumer"] == {"ok": False, "detail": "died: OSError"}


async def test_metrics_count_by_route_template_and_never_by_path(client: httpx2.AsyncClient) -> None:
    await client.post("/api/v1/carts/shopper-1", json={"lines": []})
    await client.get("/guess/1")
    await client.request("BREW", "/guess/2")
    text = (await client.get("/metrics")).text
    assert 'trolleybus_http_requests_total{method="POST",route="/api/v1/carts/{name}",status="200"} 1.0' in text
    assert 'trolleybus_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'method="OTHER",route="none"' in text
    assert 'trolleybus_http_request_seconds_count{method="POST",route="/api/v1/carts/{name}"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "shopper-1" not in text
    assert "guess" not in text


async def test_a_front_stands_before_the_middlewares(client: httpx2.AsyncClient) -> None:
    response = await client.get("/front")
    assert response.status_code == 204
    assert "x-request-id" not in response.headers


async def test_the_reference_shows_operations_with_fields_and_example(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    for text in ("/api/v1/carts/{name}", "lines[].sku", "Stores a cart.", "/openapi.json", "required"):
        assert text in page
    assert "own-policy" not in page
    assert (await client.get("/openapi.json")).json()["info"]["title"] == "Sample"


async def test_a_services_own_static_files_stand_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "chart.js").write_text("'use strict';")
    settings = sample_settings()
    app = create_app(title="X", settings=settings, readiness=Readiness(), registry=CollectorRegistry(), static=tmp_path)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x.example.com") as client:
        assert (await client.get("/static/analytics/chart.js")).text == "'use strict';"
        assert (await client.get("/static/trolleybus.js")).status_code == 200
        assert (await client.get("/static/../settings.py")).status_code == 404
