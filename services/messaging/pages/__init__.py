"""The operator's pages: the inbox, messages and holds."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.messaging.api.operators import cursor_of, next_cursor
from services.messaging.domain.states import State
from services.messaging.keeping import Keeping, NotInDoubt
from services.messaging.mail import headers_of, parts_of
from services.messaging.store import holds, inbox, queue
from trolleybus.db import Pool
from trolleybus.http import Problem
from trolleybus.pages import Pages
from trolleybus.security import Operator, operator_required
from trolleybus.settings import ServiceSettings

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
_PAGE = 50
# A mail is another's document: no script, no form, nothing from outside; its links open in a new window.
_MAIL_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
_NEW_WINDOW = '<base target="_blank">'


def pages_router(settings: ServiceSettings, pool: Pool, keeping: Keeping, pages: Pages) -> APIRouter:
    required = operator_required(settings)
    router = APIRouter(include_in_schema=False, dependencies=[Depends(required)])

    async def inbox_context(q: str, store: str, before: int) -> dict[str, Any]:
        async with pool.connection() as conn:
            mails = await inbox.search(conn, store_id=store, text=q, before=before, limit=_PAGE)
        more = {"q": q, "store": store, "before": mails[-1].id} if len(mails) == _PAGE else {}
        return {
            "mails": mails,
            "q": q,
            "store": store,
            "before": before,
            "older": f"/inbox?{urlencode(more)}" if more else "",
            "rows": f"/inbox/rows?{urlencode({'q': q, 'store': store})}",
        }

    @router.get("/")
    async def home() -> Response:
        return RedirectResponse("/inbox", 302)

    @router.get("/inbox")
    async def list_inbox(
        request: Request, q: str = "", store: str = "", before: Annotated[int, Query(ge=0)] = 0
    ) -> HTMLResponse:
        return pages.render(request, "inbox.html", **await inbox_context(q.strip(), store.strip(), before))

    @router.get("/inbox/rows")
    async def inbox_rows(request: Request, q: str = "", store: str = "") -> HTMLResponse:
        return pages.render(request, "inbox_rows.html", **await inbox_context(q.strip(), store.strip(), 0))

    @router.get("/inbox/{number}")
    async def show_mail(request: Request, number: int) -> HTMLResponse:
        received, raw = await mail(number)
        return pages.render(
            request,
            "mail.html",
            mail=received,
            parts=parts_of(raw),
            headers=headers_of(raw),
            source_size=len(raw),
        )

    @router.get("/inbox/{number}/html")
    async def show_html(number: int) -> Response:
        _, raw = await mail(number)
        html = parts_of(raw)["html"]
        return HTMLResponse(_NEW_WINDOW + html, headers={"Content-Security-Policy": _MAIL_POLICY})

    @router.get("/inbox/{number}/source")
    async def show_source(number: int) -> Response:
        received, raw = await mail(number)
        return Response(
            raw,
            media_type="message/rfc822",
            headers={"Content-Disposition": f'attachment; filename="mail-{received.id}.eml"'},
        )

    async def mail(number: int) -> tuple[inbox.Received, bytes]:
        async with pool.connection() as conn:
            found = await inbox.find(conn, number)
        if found is None:
            raise Problem(404, "No such mail")
        return found

    @router.get("/messages")
    async def list_messages(
        request: Request, state: str = "", store: str = "", after: str = "", note: str = ""
    ) -> HTMLResponse:
        chosen = [State(state)] if state in set(State) else []
        async with pool.connection() as conn:
            found = await queue.search(
                conn, store_id=store.strip(), states=chosen, before=cursor_of(after), limit=_PAGE
            )
            counts = await queue.count_states(conn)
        following = next_cursor(found, _PAGE)
        older = f"/messages?{urlencode({'state': state, 'store': store, 'after': following})}" if following else ""
        return pages.render(
            request,
            "messages.html",
            messages=found,
            counts=counts,
            states=list(State),
            state=state,
            store=store,
            older=older,
            note=note,
        )

    @router.get("/messages/{message_id}")
    async def show_message(request: Request, message_id: str) -> HTMLResponse:
        async with pool.connection() as conn:
            found = await queue.find(conn, message_id)
            number = await inbox.number_of(conn, message_id)
        if found is None:
            raise Problem(404, "No such message")
        return pages.render(request, "message.html", message=found, mail=number)

    @router.post("/messages/{message_id}/settle")
    async def settle(
        message_id: str,
        outcome: Annotated[str, Form(pattern="^(sent|not_sent)$")],
        note: Annotated[str, Form(min_length=1, max_length=1000)],
        operator: Annotated[Operator, Depends(required)],
    ) -> Response:
        try:
            await keeping.settle(message_id, was_sent=outcome == "sent", by=operator.subject, note=note)
        except LookupError:
            raise Problem(404, "No such message") from None
        except NotInDoubt as error:
            raise Problem(409, "Not in doubt", str(error)) from error
        return RedirectResponse(f"/messages/{message_id}", 303)

    @router.get("/holds")
    async def list_holds(request: Request) -> HTMLResponse:
        async with pool.connection() as conn:
            found = await holds.list_holds(conn, released=True)
        return pages.render(request, "holds.html", holds=found)

    @router.post("/holds/{hold_id}/release")
    async def release(
        hold_id: int,
        reason: Annotated[str, Form(min_length=1, max_length=1000)],
        operator: Annotated[Operator, Depends(required)],
    ) -> Response:
        async with pool.connection() as conn:
            done = await holds.release(conn, hold_id, operator.subject, reason)
        if not done:
            raise Problem(404, "No such hold in force")
        return RedirectResponse("/holds", 303)

    return router
