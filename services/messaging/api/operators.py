"""The operator's API: messages and what is in doubt, holds, the local inbox."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.messaging.domain.states import State
from services.messaging.keeping import Keeping, NotInDoubt
from services.messaging.mail import headers_of, parts_of
from services.messaging.store import holds, inbox, queue
from services.messaging.store.queue import Message
from trolleybus.db import Pool
from trolleybus.http import Problem, json_body_required
from trolleybus.security import Operator, operator_required
from trolleybus.settings import ServiceSettings

Limit = Annotated[int, Query(ge=1, le=200)]


class Settlement(BaseModel):
    """What became of a message in doubt."""

    outcome: Literal["sent", "not_sent"]
    note: str = Field(min_length=1, max_length=1000, description="How you know; kept")


class Release(BaseModel):
    """Why a store may be written to again."""

    reason: str = Field(min_length=1, max_length=1000, description="Kept")


def operators_router(settings: ServiceSettings, pool: Pool, keeping: Keeping) -> APIRouter:
    required = operator_required(settings)
    router = APIRouter(prefix="/api/v1", tags=["Messages"], dependencies=[Depends(required)])

    @router.get("/messages", summary="Messages, newest first")
    async def list_messages(
        store_id: str = "",
        state: Annotated[list[State] | None, Query(description="Repeat for several")] = None,
        after: Annotated[str, Query(description="`next` of the page before")] = "",
        limit: Limit = 50,
    ) -> dict[str, Any]:
        async with pool.connection() as conn:
            found = await queue.search(
                conn, store_id=store_id, states=state or (), before=cursor_of(after), limit=limit
            )
        return {"messages": [shown(one) for one in found], "next": next_cursor(found, limit)}

    @router.get("/messages/{message_id}", summary="A message")
    async def get_message(message_id: str) -> dict[str, Any]:
        async with pool.connection() as conn:
            found = await queue.find(conn, message_id)
        if found is None:
            raise Problem(404, "No such message")
        return shown(found)

    @router.post(
        "/messages/{message_id}/settle",
        summary="Settle a message in doubt",
        dependencies=[Depends(json_body_required)],
    )
    async def settle(
        message_id: str, settlement: Settlement, operator: Annotated[Operator, Depends(required)]
    ) -> dict[str, Any]:
        try:
            await keeping.settle(
                message_id, was_sent=settlement.outcome == "sent", by=operator.subject, note=settlement.note
            )
        except LookupError:
            raise Problem(404, "No such message") from None
        except NotInDoubt as error:
            raise Problem(409, "Not in doubt", str(error)) from error
        return await get_message(message_id)

    @router.get("/holds", summary="Stores that are held", tags=["Holds"])
    async def list_holds(*, released: bool = False) -> dict[str, Any]:
        async with pool.connection() as conn:
            found = await holds.list_holds(conn, released=released)
        return {"holds": [asdict(one) for one in found]}

    @router.post(
        "/holds/{hold_id}/release",
        summary="Release a hold",
        tags=["Holds"],
        dependencies=[Depends(json_body_required)],
    )
    async def release(
        hold_id: int, reason: Release, operator: Annotated[Operator, Depends(required)]
    ) -> dict[str, Any]:
        async with pool.connection() as conn:
            done = await holds.release(conn, hold_id, operator.subject, reason.reason)
        if not done:
            raise Problem(404, "No such hold in force")
        return {"released": hold_id}

    @router.get("/inbox", summary="Mails of the local inbox, newest first", tags=["Inbox"])
    async def list_inbox(
        to: Annotated[str, Query(description="A whole address")] = "",
        store_id: str = "",
        q: Annotated[str, Query(description="Part of a subject or an address")] = "",
        after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
        limit: Limit = 20,
    ) -> dict[str, Any]:
        async with pool.connection() as conn:
            found = await inbox.search(conn, store_id=store_id, recipient=to, text=q, before=after, limit=limit)
            whole = [await inbox.find(conn, one.id) for one in found]
        return {
            "messages": [{**asdict(one), **parts_of(raw)} for one, raw in filter(None, whole)],
            "next": found[-1].id if len(found) == limit else 0,
        }

    @router.get("/inbox/{number}", summary="A mail of the local inbox", tags=["Inbox"])
    async def get_mail(number: int) -> dict[str, Any]:
        async with pool.connection() as conn:
            found = await inbox.find(conn, number)
        if found is None:
            raise Problem(404, "No such mail")
        received, raw = found
        return {**asdict(received), **parts_of(raw), "headers": headers_of(raw)}

    return router


def shown(message: Message) -> dict[str, Any]:
    """A message as the API tells it."""
    return asdict(message)


def cursor_of(text: str) -> tuple[int, str] | None:
    """Raises Problem for what is no cursor."""
    if not text:
        return None
    at, _, message_id = text.partition("~")
    if not at.isdecimal() or len(at) > 18:
        raise Problem(422, "Some fields are not valid", "`after` is the `next` of another page", field="query/after")
    return int(at), message_id


def next_cursor(found: list[Message], limit: int) -> str:
    """Empty on the last page."""
    return f"{found[-1].requested_at}~{found[-1].message_id}" if len(found) == limit else ""
