"""/livez, /readyz, /metrics: for whatever runs the process, without sign-in and without personal data."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from trolleybus.readiness import Readiness


def health_router(readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        parts = readiness.report()
        ready = all(part.ok for part in parts.values())
        body = {"ready": ready, "parts": {name: {"ok": part.ok, "detail": part.detail} for name, part in parts.items()}}
        return JSONResponse(body, 200 if ready else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
