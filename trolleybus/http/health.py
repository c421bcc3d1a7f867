"""/livez, /readyz, /metrics: for whatever runs the process, without sign-in and without personal data."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry

from trolleybus.http.metrics import shown
from trolleybus.readiness import Readiness

LOOKS = ["GET", "HEAD"]
"""Of what monitors ask for by its headers alone."""


def health_router(readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/livez", methods=LOOKS)
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @router.api_route("/readyz", methods=LOOKS)
    async def readyz() -> JSONResponse:
        parts = readiness.report()
        ready = all(part.ok for part in parts.values())
        body = {"ready": ready, "parts": {name: {"ok": part.ok, "detail": part.detail} for name, part in parts.items()}}
        return JSONResponse(body, 200 if ready else 503)

    @router.api_route("/metrics", methods=LOOKS)
    async def metrics() -> Response:
        return Response(shown(registry), media_type=CONTENT_TYPE_LATEST)

    return router
