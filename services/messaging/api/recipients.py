"""Links in messages: unsubscribe, restore a cart, follow a link. Signed; no sign-in. A GET changes no permission."""

from typing import Annotated
from urllib.parse import parse_qs

import psycopg
from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from psycopg_pool import PoolTimeout

from services.messaging.links import CLICK, OPEN, RESTORE, UNSUBSCRIBE, MessageLinks
from services.messaging.recipients import Recipients, UnknownMessage
from trolleybus.http import Problem
from trolleybus.pages import Pages
from trolleybus.security import BadLink
from trolleybus.store_directory import StoreIndex
from trolleybus.telemetry import get_logger

_DOT = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00"
    b"\x01\x00\x00\x02\x02D\x01\x00;"
)
_LONGEST_FORM = 4096

log = get_logger(__name__)

Token = Annotated[str, Path(max_length=8192, description="Signed by messaging or campaigns")]


def recipients_router(links: MessageLinks, recipients: Recipients, stores: StoreIndex, pages: Pages) -> APIRouter:
    router = APIRouter(tags=["Links in messages"])

    def page(request: Request, message_id: str, store_id: str, *, done: bool) -> HTMLResponse:
        store = stores.latest(store_id)
        name = store.name if store is not None and store.name else "this shop"
        shop_url = store.shop_url if store is not None and store.shop_url.startswith(("https://", "http://")) else ""
        return pages.render(request, "unsubscribe.html", shop=name, shop_url=shop_url, done=done, message_id=message_id)

    def bad(request: Request, status: int = 404) -> HTMLResponse:
        return pages.render(request, "bad_link.html", status=status)

    @router.get("/u/{token}", summary="Page to unsubscribe", response_class=HTMLResponse)
    async def unsubscribe_page(request: Request, token: Token) -> Response:
        try:
            message_id, _ = links.read(UNSUBSCRIBE, token)
            message = await recipients.find(message_id)
        except (BadLink, UnknownMessage):
            return bad(request)
        return page(request, message_id, message.store_id, done=False)

    @router.post("/u/{token}", summary="Unsubscribe, by the page or with one click (RFC 8058)")
    async def unsubscribe(request: Request, token: Token) -> Response:
        body = await request.body()
        fields = parse_qs(body[:_LONGEST_FORM].decode("ascii", "replace"))
        # A body as multipart (RFC 8058, 3.2) is not taken apart: it says the same.
        one_click = "One-Click" in fields.get("List-Unsubscribe", []) or b"One-Click" in body[:_LONGEST_FORM]
        try:
            message_id, _ = links.read(UNSUBSCRIBE, token)
            message = await recipients.unsubscribe(message_id, "one_click" if one_click else "link")
        except (BadLink, UnknownMessage):
            return bad(request)
        except (psycopg.Error, PoolTimeout) as error:
            raise Problem(503, "Not done yet", "please try again in a moment", headers={"Retry-After": "5"}) from error
        return page(request, message_id, message.store_id, done=True)

    @router.get("/r/{token}", summary="Restore a cart", status_code=302, response_class=RedirectResponse)
    async def restore(request: Request, token: Token) -> Response:
        return await follow(request, RESTORE, token)

    @router.get("/c/{token}", summary="Follow a link", status_code=302, response_class=RedirectResponse)
    async def click(request: Request, token: Token) -> Response:
        return await follow(request, CLICK, token)

    async def follow(request: Request, purpose: str, token: str) -> Response:
        try:
            message_id, target = links.read(purpose, token)
        except BadLink:
            return bad(request)
        if not target:
            return bad(request)
        try:
            await recipients.click(message_id, target, machine=_is_prefetch(request))
        except UnknownMessage:
            log.warning("a click on a message that is not known", message_id=message_id)
        except (psycopg.Error, PoolTimeout) as error:
            # The shopper comes first: a click that is not counted is better than a cart that is not restored.
            log.warning("a click was not counted", message_id=message_id, error=repr(error))
        return RedirectResponse(target, 302)

    @router.get("/o/{token}", summary="Picture that tells of an open", response_class=Response)
    async def opened(request: Request, token: Token) -> Response:
        try:
            message_id, _ = links.read(OPEN, token)
            await recipients.open(message_id, machine=_is_prefetch(request))
        except (BadLink, UnknownMessage):
            log.info("an open of a message that is not known")
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("an open was not counted", error=repr(error))
        return Response(_DOT, media_type="image/gif")

    return router


def _is_prefetch(request: Request) -> bool:
    """Whether a program says that it only loads ahead."""
    told = (request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz", "x-purpose"))
    return any("prefetch" in value or "preview" in value for value in told)
