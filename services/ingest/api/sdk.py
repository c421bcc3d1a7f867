"""The browser SDK: one file, where it is always current, and where it never changes."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
from fastapi import APIRouter, Request, Response

from trolleybus.http import Problem

BUILT = Path(__file__).parents[1] / "sdk"
CURRENT = "trolleybus.js"

_FRESH = "public, max-age=3600, stale-while-revalidate=86400"
_FOR_EVER = "public, max-age=31536000, immutable"
# Any page may load it, isolated ones too.
_FOR_ALL = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}
_SCRIPT: dict[str, Any] = {"content": {"text/javascript": {"schema": {"type": "string"}}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {**_SCRIPT, "description": "The script; Content-Location names this very build."},
    304: {"description": "As the ETag that was sent."},
}


@dataclass(frozen=True, slots=True)
class Script:
    """A build, its name by its own content, and its bytes by content coding."""

    name: str
    coded: Mapping[str, bytes]

    @classmethod
    def of(cls, body: bytes) -> "Script":
        coded = {
            "br": bytes(cramjam.brotli.compress(body, level=11)),
            "gzip": gzip.compress(body, mtime=0),
            "identity": body,
        }
        return cls(f"trolleybus-{hashlib.sha256(body).hexdigest()[:16]}.js", coded)


def scripts_in(folder: Path) -> tuple[Script, dict[str, Script]]:
    """The current build, and every build that is kept, by name. A release leaves a copy under any other name."""
    builds = {path.name: Script.of(path.read_bytes()) for path in sorted(folder.glob("*.js"))}
    return builds[CURRENT], {script.name: script for script in builds.values()}


def sdk_router(folder: Path = BUILT) -> APIRouter:
    router = APIRouter(prefix="/sdk/v1", tags=["Browser SDK"])
    current, kept = scripts_in(folder)

    @router.head("/trolleybus.js", include_in_schema=False)
    @router.get("/trolleybus.js", summary="The SDK, current", response_class=Response, responses=_RESPONSES)
    async def latest(request: Request) -> Response:
        return _answer(request, current, _FRESH)

    @router.head("/trolleybus-{build}.js", include_in_schema=False)
    @router.get(
        "/trolleybus-{build}.js",
        summary="One build of the SDK, for ever",
        response_class=Response,
        responses={**_RESPONSES, 404: {"description": "No such build is kept here."}},
    )
    async def pinned(request: Request, build: str) -> Response:
        script = kept.get(f"trolleybus-{build}.js")
        if script is None:
            raise Problem(404, "No such build", f"the current one is /sdk/v1/{current.name}", field="path/build")
        return _answer(request, script, _FOR_EVER)

    return router


def _answer(request: Request, script: Script, cache: str) -> Response:
    coding = _coding(request.headers.get("accept-encoding", ""))
    etag = f'"{script.name}-{coding}"'
    headers = {
        **_FOR_ALL,
        "Cache-Control": cache,
        "ETag": etag,
        "Content-Location": f"/sdk/v1/{script.name}",
    }
    if etag in (seen.strip().removeprefix("W/") for seen in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return Response(script.coded[coding], media_type="text/javascript", headers=headers)


def _coding(accepted: str) -> str:
    """The smallest coding that the client names."""
    named = {}
    for one in accepted.lower().split(","):
        name, _, parameters = one.partition(";")
        named[name.strip()] = parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return next((coding for coding in ("br", "gzip") if named.get(coding, False)), "identity")
