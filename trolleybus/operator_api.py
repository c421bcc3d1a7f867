"""A service's HTTP API from a terminal, with the operator's token."""

from __future__ import annotations

from typing import Any

import httpx2

from trolleybus.cli import CommandError, environment


def call(
    service: str, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
) -> Any:
    """The answer's JSON, None where there is none. Raises CommandError with what the service says is wrong."""
    values = environment()
    try:
        url, token = values[f"{service.upper()}_URL"], values["OPERATOR_TOKEN"]
    except KeyError as missing:
        raise CommandError(
            f"{missing.args[0]} is not set: start the local stack (`trolleybus stack up`) or set it"
        ) from None
    try:
        answer = httpx2.request(
            method, f"{url}{path}", json=body, params=query, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
    except httpx2.TransportError as error:
        raise CommandError(f"{service} at {url} does not answer ({error}): is it running (`trolleybus up`)?") from None
    if answer.is_success:
        return answer.json() if answer.content else None
    raise CommandError(_told(service, answer))


def _told(service: str, answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        errors = "".join(f"\n  {error['field']}: {error['detail']}" for error in problem.get("errors", []))
        return f"{problem['title']}{errors or ': ' + problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{service} answered {answer.status_code}"
