"""create_app: the frame around a service's own routers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware import Middleware
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.types import ASGIApp, Receive, Scope, Send

from trolleybus import __version__
from trolleybus.http import problems
from trolleybus.http.fast import FastPaths
from trolleybus.http.health import health_router
from trolleybus.http.metrics import HttpMetrics
from trolleybus.http.middleware import BodyLimit, EndStreamsOnDrain, RequestContext
from trolleybus.http.reference import entrance_router, reference_router
from trolleybus.pages import STATIC, Pages
from trolleybus.readiness import Readiness
from trolleybus.settings import ServiceSettings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _App(FastAPI):
    def __init__(self, *, front: Callable[[ASGIApp], ASGIApp] | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._front = front
        self._entry: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._entry is None:
            self._entry = self._front(super().__call__) if self._front else super().__call__
        scope["app"] = self
        await self._entry(scope, receive, send)


def create_app(
    *,
    title: str,
    settings: ServiceSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    metrics: HttpMetrics | None = None,
    lifespan: Lifespan | None = None,
    routers: Sequence[APIRouter] = (),
    front: Callable[[ASGIApp], ASGIApp] | None = None,
    fast_paths: FastPaths | None = None,
    static: Path | None = None,
    description: str = "",
) -> FastAPI:
    """An app for `trolleybus.runtime.run_service`.

    `front` wraps the finished app; it gets every scope first. `fast_paths` are taken before any scope is made, and counted in
    the same `metrics`. `static` is served under /static/<service>/.
    """
    routes: dict[int, str] = {}

    def route_of(scope: Scope) -> str:
        if not routes:
            routes.update(_templates(app))
        return routes.get(id(scope.get("endpoint")), "none")

    app = _App(
        front=front,
        title=title,
        version=__version__,
        description=description,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(RequestContext, metrics=metrics or HttpMetrics(registry), route_of=route_of),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(EndStreamsOnDrain, readiness=readiness),
        ],
    )
    app.state.readiness = readiness
    app.state.fast_paths = fast_paths
    app.state.pages = Pages(settings)
    problems.install(app)
    ProcessCollector(registry=registry)
    app.include_router(health_router(readiness, registry))
    app.include_router(reference_router(app.state.pages))
    for router in routers:
        app.include_router(router)
    app.include_router(entrance_router())
    if static is not None:
        app.mount(f"/static/{settings.service}", StaticFiles(directory=static))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _templates(app: FastAPI) -> dict[int, str]:
    """Path template by endpoint: the scope of an included router's route does not hold its whole path."""
    found: dict[int, str] = {}
    for route in iter_route_contexts(app.routes):
        endpoint = route.endpoint or getattr(route.original_route, "app", None)
        if endpoint is not None and route.path is not None:
            found[id(endpoint)] = route.path
    return found
