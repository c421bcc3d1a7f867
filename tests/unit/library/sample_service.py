"""A service that exists for the library's tests only: `python -m tests.unit.library.sample_service` runs it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from trolleybus.http import PartStatus, Problem, Readiness, create_app, json_body_required
from trolleybus.runtime import background, start
from trolleybus.security import operator_required
from trolleybus.settings import ServiceSettings
from trolleybus.telemetry import current_traceparent, get_logger

SECRETS = {"INSTALLATION_SECRET": "i" * 40, "SIGNING_KEYS": "s" * 40, "OPERATOR_TOKEN": "o" * 40}


class SampleSettings(ServiceSettings):
    service: ClassVar[str] = "analytics"
    port: int = 0
    max_body_bytes: int = 1000
    loop_dies: bool = False
    start_hangs: bool = False


def sample_settings(**values: object) -> SampleSettings:
    return SampleSettings.model_validate({name.lower(): value for name, value in SECRETS.items()} | values)


class Line(BaseModel):
    sku: str
    price: int


class Cart(BaseModel):
    lines: list[Line]
    notes: dict[str, int] = Field(default_factory=dict)


def api(settings: SampleSettings) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["Carts"])

    @router.post("/carts/{name}", dependencies=[Depends(json_body_required)])
    async def put_cart(name: str, cart: Cart, limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, object]:
        """Stores a cart."""
        return {"name": name, "lines": len(cart.lines), "limit": limit}

    @router.post("/bytes")
    async def count_bytes(request: Request) -> int:
        return len(await request.body())

    @router.get("/boom")
    async def boom() -> None:
        raise RuntimeError("shopper@example.com broke it")

    @router.get("/busy")
    async def busy() -> None:
        raise Problem(503, "Kafka is away", "try again", field="/events/0", headers={"Retry-After": "2"})

    @router.get("/trace")
    async def trace() -> str:
        return current_traceparent()

    @router.get("/slow")
    async def slow() -> str:
        get_logger().info("slow request began")
        await asyncio.sleep(0.7)
        return "finished"

    @router.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[dict[str, int]]:
        number = 0
        while True:
            number += 1
            yield {"number": number}
            await asyncio.sleep(0.05)

    @router.get("/secret", dependencies=[Depends(operator_required(settings))])
    @router.post("/secret", dependencies=[Depends(operator_required(settings))])
    async def secret() -> str:
        return "for operators"

    @router.get("/own-policy", include_in_schema=False)
    async def own_policy() -> HTMLResponse:
        return HTMLResponse("<p>mail</p>", headers={"Content-Security-Policy": "sandbox", "Cache-Control": "private"})

    return router


def own_front(app: ASGIApp) -> ASGIApp:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/front":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return front


def build(settings: SampleSettings) -> FastAPI:
    readiness = Readiness()
    readiness.add("database", lambda: PartStatus(ok=True, detail="8 connections"))
    logger = get_logger()

    async def loop() -> None:
        try:
            if settings.loop_dies:
                await asyncio.sleep(0.3)
                raise RuntimeError("the loop's own trouble")
            await asyncio.Event().wait()
        finally:
            logger.info("loop left")

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            logger.info("other loop left")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if settings.start_hangs:
            logger.info("start hangs")
            await asyncio.Event().wait()
        async with background(readiness, loop=loop(), other=other()):
            yield

    return create_app(
        title="Sample",
        settings=settings,
        readiness=readiness,
        registry=CollectorRegistry(),
        lifespan=lifespan,
        routers=[api(settings)],
        front=own_front,
    )


if __name__ == "__main__":
    for name, value in SECRETS.items():
        os.environ.setdefault(name, value)
    start(SampleSettings, build)
