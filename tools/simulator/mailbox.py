"""How a shopper reads mail: over messaging's own pages, as anyone with the operator's token may."""

from __future__ import annotations

import re
from html import unescape
from typing import Protocol

import httpx2


class Mailbox(Protocol):
    """Where reminders arrive."""

    async def restore_link(self, email: str) -> str | None:
        """The link of the newest reminder to that address that restores its cart; None while there is none."""
        ...


class NoMail:
    """A shopper without mail: waits for none."""

    async def restore_link(self, email: str) -> str | None:  # noqa: ARG002  # as the protocol has it
        return None


class LocalInbox:
    """The local inbox of the messaging service; of one store, for earlier stores' shoppers may have the same addresses."""

    def __init__(self, messaging_url: str, operator_token: str, store_id: str, client: httpx2.AsyncClient) -> None:
        self._store_id = store_id
        self._url = messaging_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {operator_token}"}
        self._client = client

    async def restore_link(self, email: str) -> str | None:
        """As the protocol says; while the inbox does not answer there is no mail."""
        try:
            return await self._newest(email)
        except httpx2.TransportError:
            return None

    async def _newest(self, email: str) -> str | None:
        answer = await self._client.get(
            f"{self._url}/api/v1/inbox", params={"to": email, "store_id": self._store_id}, headers=self._headers
        )
        if answer.status_code >= 500:
            return None
        answer.raise_for_status()
        for message in answer.json()["messages"]:
            link = re.search(rf"{re.escape(self._url)}/r/[\w.~-]+", unescape(message["text"]))
            if link:
                return link.group()
        return None
