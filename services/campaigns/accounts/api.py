"""Sign-in links, sessions, signing out."""

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from services.campaigns.accounts.service import Accounts, BadCode, NotOurs
from trolleybus.envelope import rfc3339
from trolleybus.http import Problem
from trolleybus.security import SESSION_COOKIE, Operator, session_cookie


class NewLink(BaseModel):
    model_config = ConfigDict(extra="forbid")

    next: str = Field(
        default="", max_length=2000, description="A page of one of the services; the dashboard if left out"
    )


class LinkView(BaseModel):
    url: str = Field(description="Opens a session, once")
    expires_at: str


def accounts_router(accounts: Accounts, operator: Callable[[Request], Operator], *, secure: bool) -> APIRouter:
    router = APIRouter(tags=["accounts"])

    @router.post("/api/v1/sign-in-links", status_code=201, dependencies=[Depends(operator)])
    async def new_link(form: NewLink | None = None) -> LinkView:
        try:
            link = await accounts.link(form.next if form else "")
        except NotOurs:
            raise Problem(
                422, "Leads elsewhere", "`next` is a page of one of the five services", field="/next"
            ) from None
        return LinkView(url=link.url, expires_at=rfc3339(link.expires_at))

    @router.get("/sign-in", include_in_schema=False)
    async def sign_in(code: str = "") -> Response:
        try:
            session = await accounts.sign_in(code)
        except BadCode:
            raise Problem(
                401, "This link has been used or is too old", "make a new one: `trolleybus sign-in`"
            ) from None
        response = RedirectResponse(session.next_url, 303)
        session_cookie(response, session.token, secure=secure)
        return response

    @router.post("/sign-out", include_in_schema=False, dependencies=[Depends(operator)])
    async def sign_out() -> Response:
        response = RedirectResponse("/signed-out", 303)
        response.delete_cookie(SESSION_COOKIE, path="/", secure=secure, httponly=True, samesite="strict")
        return response

    return router
