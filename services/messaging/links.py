"""The links that messaging itself signs and serves."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from trolleybus.security import BadLink, Links

UNSUBSCRIBE, RESTORE, CLICK, OPEN = "unsubscribe", "restore", "click", "open"
_PATHS = {UNSUBSCRIBE: "u", RESTORE: "r", CLICK: "c", OPEN: "o"}


@dataclass(frozen=True, slots=True)
class MessageLinks:
    """Links below messaging's public address; each names its message, some a target."""

    links: Links
    base_url: str

    def url(self, purpose: str, message_id: str, target: str = "") -> str:
        payload = {"m": message_id, "u": target} if target else {"m": message_id}
        return f"{self.base_url}/{_PATHS[purpose]}/{self.links.sign(purpose, payload)}"

    def read(self, purpose: str, token: str) -> tuple[str, str]:
        """Message id and target ("" for none); raises BadLink. A target is one that we signed, and http or https."""
        payload = self.links.read(purpose, token)
        message_id, target = payload.get("m"), payload.get("u", "")
        if not isinstance(message_id, str) or not message_id or not isinstance(target, str):
            raise BadLink("this link is not valid")
        if target and urlsplit(target).scheme not in {"http", "https"}:
            raise BadLink("this link leads nowhere that a browser goes")
        return message_id, target

    def is_own(self, url: str) -> bool:
        """Whether a link leads to messaging already."""
        return url.startswith(f"{self.base_url}/")
