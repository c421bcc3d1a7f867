"""What the endpoints of events answer."""

from collections.abc import Sequence
from typing import Any

import orjson

from services.ingest.adapters.seam import Refused
from services.ingest.api.bodies import Items
from services.ingest.domain.sealed import Sealed
from services.ingest.gateway import Result
from services.ingest.limiter import Verdict
from trolleybus.http import FieldError, Problem


def answer_of(results: Sequence[Result], batch: Items) -> bytes:
    """The JSON: a result an event; raises 422 where the only one, sent alone, was refused."""
    if not batch.is_batch and isinstance(results[0], Refused):
        errors = [FieldError(flaw.field, flaw.detail) for flaw in results[0].errors]
        raise Problem(422, "Some fields are not valid", f"{len(errors)} not valid", errors=errors)
    accepted = [one.event_id for one in results if type(one) is Sealed]
    if len(accepted) == len(results):  # The most: nothing of them needs to be escaped.
        told = '"},{"status":"accepted","id":"'.join(accepted)
        return f'{{"results":[{{"status":"accepted","id":"{told}"}}]}}'.encode()
    body = {"results": [shown(result, batch.pointer(index)) for index, result in enumerate(results)]}
    return orjson.dumps(body)


def shown(result: Result, at: str) -> dict[str, Any]:
    """A result as the answer has it; `at` is the JSON pointer to its event."""
    if isinstance(result, Refused):
        return {
            "status": "refused",
            "errors": [{"field": at + flaw.field, "detail": flaw.detail} for flaw in result.errors],
        }
    told: dict[str, Any] = {"status": "accepted", "id": result.event_id}
    if result.left_out:
        told["warnings"] = [{"field": at + flaw.field, "detail": flaw.detail} for flaw in result.left_out]
    return told


def behind(detail: str) -> Problem:
    """503: Kafka is slow or away, or too much waits."""
    return Problem(503, "Not taken", detail, headers={"Retry-After": "2"})


def too_many(verdict: Verdict, scope: str) -> Problem:
    """429, with when to come again."""
    limit = verdict.limit
    return Problem(
        429,
        "Too many events",
        f"at most {limit.per_second} events a second here",
        headers={
            "Retry-After": str(verdict.retry_after_s),
            "RateLimit-Policy": f'"{scope}";q={limit.burst};w={max(1, limit.burst // limit.per_second)}',
            "RateLimit": f'"{scope}";r={verdict.remaining};t={verdict.retry_after_s}',
        },
    )
