"""An e-mail's bytes, and the links in it. Pure."""

from __future__ import annotations

import re
from binascii import b2a_qp
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import Header
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime
from html import escape, unescape
from html.parser import HTMLParser

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]+")
_HREF = re.compile(r"""(?<=\s)(href\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
)
_LONGEST_ADDRESS = 254
_LONGEST_SUBJECT = 500
_LONGEST_NAME = 200


class BadMail(ValueError):
    """The parts make no e-mail; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What an e-mail is made of."""

    message_id: str
    store_id: str
    campaign_id: str
    recipient: str
    sender_address: str
    sender_name: str
    reply_to: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str
    sent_at: int


def build(letter: Letter) -> bytes:
    """The bytes of the e-mail, ASCII alone; raises BadMail for addresses that cannot stand in a header.

    Whatever a subject or a name holds, it adds no header: control characters become spaces, and the rest is encoded. Written
    here because the standard library needs milliseconds for a mail, and folds long links into encoded words.
    """
    sender = _address(letter.sender_address)
    name = _one_line(letter.sender_name, _LONGEST_NAME)
    headers = [
        *_list_headers(letter.unsubscribe_url),
        f"From: {_phrase(name)} <{sender}>" if name else f"From: {sender}",
        f"To: {_address(letter.recipient)}",
        *([f"Reply-To: {_address(letter.reply_to)}"] if letter.reply_to else []),
        f"Subject: {_unstructured(_one_line(letter.subject, _LONGEST_SUBJECT))}",
        f"Date: {format_datetime(datetime.fromtimestamp(letter.sent_at / 1000, UTC))}",
        f"Message-ID: <{_token(letter.message_id)}@{sender.rpartition('@')[2]}>",
        "Auto-Submitted: auto-generated",
        f"Feedback-ID: {_token(letter.campaign_id) or 'none'}:{_token(letter.store_id)}:trolleybus",
        "MIME-Version: 1.0",
    ]
    parts = [_part("plain", letter.text)] if letter.text or not letter.html else []
    if letter.html:
        parts.append(_part("html", letter.html))
    if len(parts) == 1:
        return _lines(headers) + parts[0]
    # "=_" cannot occur in quoted-printable (RFC 2045, 6.7).
    boundary = f"=_{_token(letter.message_id)}"
    between = f"--{boundary}\r\n".encode()
    headers.append(f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"')
    return b"".join([_lines(headers), b"\r\n", *(between + part for part in parts), f"--{boundary}--\r\n".encode()])


def _part(subtype: str, text: str) -> bytes:
    """Headers and body of a part, which ends with a line's end."""
    lines = re.sub("\r\n|\r|\n", "\r\n", text.rstrip("\r\n")) + "\r\n"
    headers = [f'Content-Type: text/{subtype}; charset="utf-8"', "Content-Transfer-Encoding: quoted-printable"]
    return _lines(headers) + b"\r\n" + b2a_qp(lines.encode("utf-8", "replace"))


def _lines(headers: list[str]) -> bytes:
    return "".join(f"{header}\r\n" for header in headers).encode("ascii")


def _list_headers(url: str) -> list[str]:
    """RFC 8058. Never folded into encoded words, which mail programs do not read there; a line may have 998 characters
    (RFC 5322, 2.1.1)."""
    if not url:
        return []
    line = f"List-Unsubscribe: <{url}>"
    if not line.isascii() or _CONTROLS.search(line) or len(line) > 998 or set(url) & set(" <>"):
        raise BadMail("the unsubscribe link cannot stand in a header")
    return [line, "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]


def _address(address: str) -> str:
    """A plain address. Only servers that know SMTPUTF8 (RFC 6531) take others; the domain comes in ASCII already."""
    if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address):
        raise BadMail("the address is none that every mail server takes")
    return address


def _unstructured(text: str) -> str:
    """A header's text: as it is where it is plain ASCII, else in encoded words (RFC 2047)."""
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _phrase(text: str) -> str:
    """A display name."""
    if text.isascii() and "=?" not in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return Header(text, "utf-8", header_name="From").encode(linesep="\r\n")


def _one_line(text: str, longest: int) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return " ".join(_CONTROLS.sub(" ", clean).split())[:longest]


def _token(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)[:64]


def rewrite_links(html: str, rewrite: Callable[[str], str]) -> str:
    """The HTML with the target of each link that goes to http(s) replaced; everything else stays as it is, byte for byte."""
    parser = _Links()
    parser.feed(html)
    parser.close()
    starts = [0]
    starts.extend(match.end() for match in re.finditer("\n", html))
    parts: list[str] = []
    done = 0
    for line, column, tag in parser.found:
        at = starts[line - 1] + column
        if html[at : at + len(tag)] != tag or at < done:
            continue
        parts += [html[done:at], _HREF.sub(lambda match: _rewritten(match, rewrite), tag, count=1)]
        done = at + len(tag)
    return "".join([*parts, html[done:]])


def add_pixel(html: str, url: str) -> str:
    """The HTML with a picture of one point at its end."""
    pixel = f'<img src="{escape(url)}" width="1" height="1" alt="">'
    at = html.lower().rfind("</body>")
    return html + pixel if at < 0 else html[:at] + pixel + html[at:]


def _rewritten(match: re.Match[str], rewrite: Callable[[str], str]) -> str:
    target = unescape(match[2].strip("\"'")).strip()
    if not target.lower().startswith(("http://", "https://")):
        return match[0]
    return f'{match[1]}"{escape(rewrite(target))}"'


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int, int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parent's signature
        if tag in ("a", "area"):
            self.found.append((*self.getpos(), self.get_starttag_text() or ""))


def _parsed(raw: bytes) -> EmailMessage:
    """A mail's source, taken apart."""
    return message_from_bytes(raw, policy=default)


def parts_of(raw: bytes) -> dict[str, str]:
    """The text and the HTML of a mail."""
    mail = _parsed(raw)
    bodies = {kind: mail.get_body(preferencelist=(kind,)) for kind in ("plain", "html")}
    return {
        "text": str(bodies["plain"].get_content()) if bodies["plain"] else "",
        "html": str(bodies["html"].get_content()) if bodies["html"] else "",
    }


def headers_of(raw: bytes) -> list[tuple[str, str]]:
    """The headers of a mail, in their order."""
    return [(name, str(value)) for name, value in _parsed(raw).items()]
