"""/docs: the API's reference as one page of our own layout, made from the OpenAPI document; it needs no script."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from trolleybus.http.health import LOOKS
from trolleybus.pages import Pages

_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    kind: str
    place: str = "body"
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    description: str
    fields: list[Field] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    example: str = ""
    secured: bool = False


def reference_router(pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/docs", methods=LOOKS)
    async def docs(request: Request) -> HTMLResponse:
        app: FastAPI = request.app
        return pages.render(request, "reference.html", api=app, groups=operations(app.openapi()))

    return router


def entrance_router() -> APIRouter:
    """The bare address, for a service that has no page of its own there: to the reference."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=LOOKS)
    async def entrance() -> RedirectResponse:
        return RedirectResponse("/docs")

    return router


def operations(document: dict[str, Any]) -> dict[str, list[Operation]]:
    """Operations by tag, in the document's order."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["General"])[0]
            groups.setdefault(tag, []).append(_operation(document, path, method, operation))
    return groups


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Operation:
    fields = [
        Field(
            name=parameter["name"],
            place=parameter["in"],
            kind=_kind(document, parameter.get("schema", {})),
            required=parameter.get("required", False),
            description=parameter.get("description", ""),
        )
        for parameter in operation.get("parameters", [])
    ]
    media = operation.get("requestBody", {}).get("content", {})
    schema = next((entry.get("schema", {}) for entry in media.values()), None)
    example = ""
    if schema is not None:
        fields += _body_fields(document, schema)
        if "application/json" in media:
            given = media["application/json"].get("example")
            shown = given if given is not None else _example(document, schema, 0)
            example = json.dumps(shown, indent=2, ensure_ascii=False)
    return Operation(
        id=operation.get("operationId", f"{method}{path}"),
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        fields=fields,
        answers=[(status, answer.get("description", "")) for status, answer in operation.get("responses", {}).items()],
        example=example,
        secured=bool(operation.get("security")),
    )


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_MAX_DEPTH):
        if "$ref" not in schema:
            break
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _variants(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or []
    return [variant for variant in found if variant.get("type") != "null"]


def _body_fields(document: dict[str, Any], schema: dict[str, Any], prefix: str = "", depth: int = 0) -> list[Field]:
    resolved = _resolve(document, schema)
    fields: list[Field] = []
    if depth >= _MAX_DEPTH:
        return fields
    for variant in _variants(resolved):
        known = {entry.name for entry in fields}
        fields += [found for found in _body_fields(document, variant, prefix, depth + 1) if found.name not in known]
    if resolved.get("type") == "array":
        fields += _body_fields(document, resolved.get("items", {}), f"{prefix}[]", depth + 1)
    for name, member in resolved.get("properties", {}).items():
        inner = _resolve(document, member)
        path = f"{prefix}.{name}" if prefix else name
        fields.append(
            Field(
                name=path,
                kind=_kind(document, member),
                required=name in resolved.get("required", ()),
                description=member.get("description", inner.get("description", "")),
            )
        )
        fields += _body_fields(document, member, path, depth + 1)
    return fields


def _kind(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> str:
    resolved = _resolve(document, schema)
    if depth >= _MAX_DEPTH:
        return "object"
    if "enum" in resolved:
        return " | ".join(json.dumps(value) for value in resolved["enum"])
    if variants := _variants(resolved):
        return " or ".join(dict.fromkeys(_kind(document, variant, depth + 1) for variant in variants))
    if resolved.get("type") == "array":
        return f"list of {_kind(document, resolved.get('items', {}), depth + 1)}"
    return str(resolved.get("format") or resolved.get("type", "any"))


def _example(document: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:  # noqa: PLR0911 - one return a kind of schema
    resolved = _resolve(document, schema)
    if resolved.get("examples"):
        return resolved["examples"][0]
    for key in ("example", "default", "const"):
        if resolved.get(key) is not None:
            return resolved[key]
    if depth >= _MAX_DEPTH:
        return {}
    if variants := _variants(resolved):
        return _example(document, variants[0], depth + 1)
    if "enum" in resolved:
        return resolved["enum"][0]
    match resolved.get("type"):
        case "object":
            members = resolved.get("properties", {})
            return {name: _example(document, member, depth + 1) for name, member in members.items()}
        case "array":
            return [_example(document, resolved.get("items", {}), depth + 1)]
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "string":
            return resolved.get("format", "string")
        case _:
            return None
