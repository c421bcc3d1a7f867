"""Segment's tracking API: its own libraries work with only the host changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Request, Response

from services.ingest.adapters import segment
from services.ingest.adapters.fields import Fields
from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.adapters.segment.history import imported
from services.ingest.api.admission import A_TURN, Admission
from services.ingest.api.answers import shown
from services.ingest.api.bodies import hash_of, idempotency_key, parse
from services.ingest.api.callers import Caller
from services.ingest.api.compression import plain_body
from services.ingest.api.intake import Intake
from services.ingest.domain.access import IMPORTS, SEGMENT
from services.ingest.domain.settlement import tied
from services.ingest.domain.translation import Translation
from trolleybus.http import Problem

MOST_CALLS = 2500
"""Segment's own bound of a batch."""

ONE_LETTER = {"track": "t", "identify": "i", "page": "p", "screen": "s", "alias": "a", "group": "g"}

_OF_SENDING = ("sentAt", "receivedAt", "_metadata", "writeKey")
"""What differs when the same call is sent again."""

Read = Callable[[object, Arrival], Translation]


class SegmentIntake:
    """One request of a Segment library, from its bytes to its answer."""

    def __init__(self, admission: Admission, intake: Intake, *, max_calls: int, max_bytes: int) -> None:
        self._admission = admission
        self._intake = intake
        self._max_calls = max_calls
        self._max_bytes = max_bytes

    async def one(self, request: Request, kind: str) -> Response:
        """A call whose type its address says."""
        call, caller = await self._body(request, SEGMENT)
        events = await self._read(request, caller, SEGMENT, [call], lambda one, at: segment.translation(one, at, kind))
        (result,) = await self._intake.take(caller, segment.SOURCE, events)
        told = shown(result, "")
        is_refused = isinstance(result, Refused)
        return _json({"success": not is_refused, "results": [told]}, 400 if is_refused else 200)

    async def batch(self, request: Request) -> Response:
        document, caller = await self._body(request, SEGMENT)
        return await self._batch(request, document, caller, SEGMENT, segment.translation)

    async def past(self, request: Request) -> Response:
        """A batch of calls that were made long ago."""
        document, caller = await self._body(request, IMPORTS)
        return await self._batch(request, document, caller, IMPORTS, _of_the_past)

    async def _body(self, request: Request, scope: str) -> tuple[dict[str, Any], Caller]:
        """The document, and whose it is: by the header, else by the document itself."""
        admission = self._admission
        caller = await admission.caller(request, scope) if "authorization" in request.headers else None
        admission.turn_away_while_behind()
        document = parse(await plain_body(request, self._max_bytes))
        if not isinstance(document, dict):
            raise Problem(400, "Not a call", "the body is a JSON object", field="")
        key = document.get("writeKey")
        return document, caller or await admission.caller(request, scope, key if isinstance(key, str) else "")

    async def _batch(
        self, request: Request, document: Mapping[str, Any], caller: Caller, scope: str, read: Read
    ) -> Response:
        calls = document.get("batch")
        if not isinstance(calls, list) or not calls:
            raise Problem(400, "No calls", "batch is a list of at least one", field="/batch")
        if len(calls) > self._max_calls:
            raise Problem(400, "Too many calls", f"send at most {self._max_calls} at a time", field="/batch")
        sent_at = Fields(document, "", []).time("sentAt")
        common = document.get("context"), document.get("integrations")
        events = await self._read(
            request, caller, scope, [_with(call, *common) for call in calls], read, sent_at=sent_at
        )
        results = await self._intake.take(caller, segment.SOURCE, events)
        told = [shown(result, f"/batch/{index}") for index, result in enumerate(results)]
        return _json({"success": not any(isinstance(result, Refused) for result in results), "results": told}, 200)

    async def _read(
        self,
        request: Request,
        caller: Caller,
        scope: str,
        calls: Sequence[object],
        read: Read,
        sent_at: int | None = None,
    ) -> list[Translation | Refused]:
        await self._admission.limit(caller, scope, len(calls))
        key = idempotency_key(request)
        arrival = self._intake.arrival(request, caller, self._admission.now(), len(calls), sent_at)
        events: list[Translation | Refused] = []
        for index, call in enumerate(calls):
            if index and not index % A_TURN:
                await self._admission.turn(caller)
            fallback = f"{key}:{index}" if key else ""
            events.append(_told(call, replace(arrival, fallback_id=fallback, raw_hash=partial(_hash_of, call)), read))
        return events


def _told(call: object, arrival: Arrival, read: Read) -> Translation | Refused:
    try:
        return read(call, arrival)
    except Refused as refused:
        return refused


def _of_the_past(call: object, arrival: Arrival) -> Translation:
    """Of a cart of its own time: not of the one that the shopper has open today."""
    return tied(imported(call, arrival), None)


def _with(call: object, context: object, integrations: object) -> object:
    """The call, with what its batch says of all of them where it says nothing itself."""
    if not isinstance(call, dict):
        return call
    common = {name: value for name, value in (("context", context), ("integrations", integrations)) if value}
    return {**common, **call}


def _hash_of(call: object) -> str:
    if not isinstance(call, dict):
        return hash_of(call)
    return hash_of({name: value for name, value in call.items() if name not in _OF_SENDING})


def _json(body: object, status: int) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def settings_of(write_key: str, ingest_url: str) -> dict[str, Any]:
    """A project's settings as the browser's library asks for them: one destination, which is this gateway."""
    url = urlsplit(ingest_url)
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{url.netloc}{url.path}/v1",
                "protocol": url.scheme,
                "unbundledIntegrations": [],
                "addBundledMetadata": False,
            }
        },
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "remotePlugins": [],
        "analyticsNextEnabled": True,
        "legacyVideoPluginsEnabled": False,
    }


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Every in-sync replica of Kafka has what was accepted; a result a call, in their order."},
    400: {"description": "Not JSON, no calls, or the one call was refused; says where."},
    401: {"description": "No key, or one that no store has."},
    403: {"description": "The key may not do this, or not from this origin."},
    413: {"description": "More than 1 MiB."},
    415: {"description": "Compressed otherwise than by gzip or br."},
    422: {"description": "An Idempotency-Key that is none."},
    429: {"description": "Too many calls; Retry-After says when to come again."},
    503: {"description": "Kafka did not take it; send the same again after Retry-After."},
}
_CALL = {
    "type": "object",
    "description": "One call, as Segment's specification has it.",
    "properties": {
        "type": {"enum": list(segment.TYPES)},
        "event": {"type": "string", "examples": ["Product Added"]},
        "userId": {"type": "string"},
        "anonymousId": {"type": "string"},
        "messageId": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
        "properties": {"type": "object"},
        "traits": {"type": "object"},
        "context": {"type": "object"},
        "integrations": {"type": "object"},
    },
}
_BATCH = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "minItems": 1, "maxItems": MOST_CALLS, "items": _CALL},
        "sentAt": {"type": "string", "format": "date-time"},
        "writeKey": {"type": "string"},
    },
}


def segment_router(intake: SegmentIntake, ingest_url: str) -> APIRouter:
    """The paths of Segment's tracking API, and the one of its CDN that the browser's library reads."""
    router = APIRouter(prefix="/v1", tags=["Segment"])

    def add(path: str, short: str, summary: str, schema: dict[str, Any], take: Callable[..., Any]) -> None:
        router.add_api_route(
            path, take, methods=["POST"], summary=summary, responses=_PROBLEMS, openapi_extra=_body_of(schema)
        )
        if short:
            router.add_api_route(short, take, methods=["POST"], include_in_schema=False)

    def of_kind(kind: str) -> Callable[..., Any]:
        async def take(request: Request) -> Response:
            return await intake.one(request, kind)

        return take

    for kind in segment.TYPES:
        add(f"/{kind}", f"/{ONE_LETTER[kind]}", f"One {kind} call", _CALL, of_kind(kind))

    async def batch(request: Request) -> Response:
        return await intake.batch(request)

    async def past(request: Request) -> Response:
        return await intake.past(request)

    add("/batch", "/b", "Calls, up to 2,500", _BATCH, batch)
    add("/import", "", "Calls of the past, each with its timestamp; with a secret key", _BATCH, past)

    @router.post("/m", include_in_schema=False)
    async def measurements() -> Response:
        """What the browser's library counts of itself; it is not read."""
        return _json({"success": True}, 200)

    @router.get("/projects/{write_key}/settings", summary="What Segment's browser library asks before it begins")
    async def settings(write_key: str) -> dict[str, Any]:
        return settings_of(write_key, ingest_url)

    return router


def _body_of(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": schema}
    return {
        "requestBody": {"required": True, "content": {"application/json": content, "text/plain": content}},
        "security": [{"basic": []}, {"bearer": []}],
    }
