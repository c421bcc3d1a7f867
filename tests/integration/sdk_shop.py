"""A small shop whose pages load the browser SDK from a running gateway, under a strict content security policy."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from playwright.async_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, Shop
from trolleybus.contracts.cart import CartActivity

SHOPPER = "shopper@example.com"


@dataclass
class Storefront:
    """What the shop answers, by path: media type and body. Every page loads `/setup.js`, then the SDK."""

    url: str
    gateway: Ingest
    shop: Shop
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)

    def page(self, path: str, body: str = "", *, sdk: bool = True, attributes: str = "") -> None:
        script = f'<script async src="{self.gateway.url}/sdk/v1/trolleybus.js" {attributes}></script>' if sdk else ""
        html = f'<!doctype html><title>Shop</title><body>{body}<script src="/setup.js"></script>{script}'
        self.answers[path] = ("text/html", html)

    def setup(self, options: dict[str, Any] | None, more: str = "") -> None:
        """The shop's own script: options for init (their `key` is the store's), then `more`."""
        given = json.dumps({"key": self.shop.write_key, **(options or {})})
        init = "" if options is None else f'trolleybus.push(["init", Object.assign({given}, window.callbacks)]);'
        start = "window.seen = []; window.trolleybus = window.trolleybus || [];"
        self.answers["/setup.js"] = ("text/javascript", f"{start}\n{more}\n{init}")

    def json(self, path: str, answer: Any) -> None:
        self.answers[path] = ("application/json", json.dumps(answer))

    async def open(self, page: Page, path: str = "/") -> None:
        """The page, once the SDK is there."""
        await page.goto(self.url + path)
        await page.wait_for_function("() => !Array.isArray(window.trolleybus)")

    async def activity(self, count: int) -> list[CartActivity]:
        """The store's records on cart.activity by their time, once there are as many different ones. None may be too many."""

        async def enough() -> list[CartActivity] | None:
            found = {one.id: one for one in await self.gateway.records("cart.activity", self.shop.store_id)}
            return sorted(found.values(), key=lambda one: one.occurred_at) if len(found) >= count else None

        found = await eventually(enough)
        assert found is not None
        assert len(found) == count, [one.kind for one in found]
        return found

    async def _answer(self, request: Request) -> Response:
        found = self.answers.get(request.url.path)
        if found is None:
            return Response(status_code=204 if request.url.path == "/favicon.ico" else 404)
        media_type, body = found
        own = f"'self' {self.gateway.url}"
        policy = f"default-src 'none'; script-src {own}; connect-src {own}; base-uri 'none'; form-action 'self'"
        return Response(body, media_type=media_type, headers={"content-security-policy": policy})


@asynccontextmanager
async def storefront(gateway: Ingest, store_id: str) -> AsyncIterator[Storefront]:
    """A shop of its own, whose origin its store lists."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    shop = await gateway.open_shop(store_id, origins=(url,), shop_url=url)
    await eventually(lambda: _is_listed(gateway, url))
    front = Storefront(url, gateway, shop)
    app = Starlette(routes=[Route("/{path:path}", front._answer, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    async with _serving(server, listener):
        yield front


async def _is_listed(gateway: Ingest, origin: str) -> bool:
    """Whether the gateway answers pages of that origin: it gathers origins once a second."""
    answer = await gateway.post("carts/track", {}, headers={"origin": origin})
    return answer.headers.get("access-control-allow-origin") == origin


@asynccontextmanager
async def _serving(server: uvicorn.Server, listener: socket.socket) -> AsyncIterator[None]:
    task = asyncio.create_task(server._serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await asyncio.wait_for(task, 30)
