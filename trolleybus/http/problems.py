"""Errors as RFC 9457 problem details; a browser that asks for HTML gets the same facts as a page."""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from trolleybus.pages import Pages

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a JSON pointer into the body ("/events/0/price"), or "query/limit", "path/id", "header/x-name"."""

    field: str
    detail: str


class Problem(HTTPException):
    """Raise it anywhere in a request. `field` is short for one FieldError with the same detail."""

    def __init__(
        self,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        field: str = "",
        type: str = "about:blank",  # noqa: A002 - the member's name in the RFC
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.title = title or http.HTTPStatus(status).phrase
        self.type = type
        self.errors = tuple(errors) or ((FieldError(field, detail or self.title),) if field else ())


def json_body_required(request: Request) -> None:
    """Dependency: 415 for a body that is not declared as JSON."""
    json_type_required(request.headers.get("content-type", ""))


def json_type_required(content_type: str) -> None:
    """415 for a content type that is not JSON's."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(
            415,
            "Send JSON",
            f"the body must be application/json, not {media_type or 'without a content type'}",
            headers={"Accept": "application/json"},
        )


def respond(request: Request, problem: Problem) -> Response:
    """The response for a problem, in the form that the client prefers."""
    body = document(problem, request.url.path, getattr(request.state, "request_id", ""))
    pages: Pages | None = getattr(request.app.state, "pages", None) if "app" in request.scope else None
    if pages is not None and prefers_html(request.headers.get("accept", "")):
        template = "sign_in_needed.html" if problem.status_code == 401 else "problem.html"
        page = pages.render(request, template, status=problem.status_code, problem=body)
        page.headers.update(problem.headers or {})
        return page
    return JSONResponse(body, problem.status_code, problem.headers, media_type=MEDIA_TYPE)


def document(problem: Problem, path: str, request_id: str) -> dict[str, Any]:
    """A problem's JSON."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = [{"field": error.field, "detail": error.detail} for error in problem.errors]
    return body


def prefers_html(accepted: str) -> bool:
    """By the Accept header. Browsers name text/html before anything else; API clients do not name it."""
    html, json = accepted.find("text/html"), accepted.find("json")
    return html >= 0 and (json < 0 or html < json)


def install(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            error.headers = {**(error.headers or {}), "Allow": ", ".join(_methods_of(app, request.url.path))}
        return respond(request, as_problem(error))

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> Response:
        return respond(request, _validation_problem(error.errors()))


def _methods_of(app: FastAPI, path: str) -> list[str]:
    """What a path allows, over all its routes: the framework names the first one's methods only."""
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        if route.path and route.methods and compile_path(route.path)[0].match(path):
            found |= route.methods
    return sorted(found)


def as_problem(error: HTTPException) -> Problem:
    if isinstance(error, Problem):
        return error
    phrase = http.HTTPStatus(error.status_code).phrase
    detail = "" if error.detail == phrase else str(error.detail)
    return Problem(error.status_code, phrase, detail, headers=error.headers)


def _validation_problem(errors: Iterable[Any]) -> Problem:
    """Names the fields and what is wrong, never the values: they may be personal."""
    found = list(errors)
    if any(error["type"] == "json_invalid" for error in found):
        return Problem(400, "Not JSON", "the body is not valid JSON")
    fields = [FieldError(_pointer(error["loc"]), str(error["msg"]).removeprefix("Value error, ")) for error in found]
    return Problem(422, "Some fields are not valid", f"{len(fields)} not valid", errors=fields)


def _pointer(location: Sequence[str | int]) -> str:
    place, *path = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "/" + "/".join(path) if place == "body" else "/".join((place, *path))
