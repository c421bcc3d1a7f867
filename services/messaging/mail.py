"""An e-mail's bytes, and the links in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import format_datetime, make_msgid
from html import escape, unescape
from html.parser import HTMLParser

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]+")
_HREF = re.compile(r"""(?<=\s)(href\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
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
    """The bytes of the e-mail; raises BadMail for addresses that cannot stand in a header.

    Whatever a subject or a name holds, it adds no header: control characters become spaces, and the rest is encoded.
    """
    mail = EmailMessage(policy=SMTP)
    sender = _address(letter.sender_address, letter.sender_name)
    mail["From"] = sender
    mail["To"] = _address(letter.recipient)
    if letter.reply_to:
        mail["Reply-To"] = _address(letter.reply_to)
    mail["Subject"] = _one_line(letter.subject, _LONGEST_SUBJECT)
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter.sent_at / 1000, UTC))
    mail["Message-ID"] = f"<{_token(letter.message_id)}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Feedback-ID"] = f"{_token(letter.campaign_id) or 'none'}:{_token(letter.store_id)}:trolleybus"
    if letter.text or not letter.html:
        mail.set_content(letter.text, cte="quoted-printable")
        if letter.html:
            mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
            mail.set_boundary(f"=_{make_msgid().strip('<>').partition('@')[0]}")
    else:
        mail.set_content(letter.html, subtype="html", cte="quoted-printable")
    return _list_headers(letter.unsubscribe_url) + mail.as_bytes()


def _list_headers(url: str) -> bytes:
    """RFC 8058. Written here because the standard library folds a long URL into encoded words, which mail programs do
    not read there; a line may have 998 characters (RFC 5322, 2.1.1)."""
    if not url:
        return b""
    line = f"List-Unsubscribe: <{url}>"
    if not line.isascii() or _CONTROLS.search(line) or len(line) > 998 or set(url) & set(" <>"):
        raise BadMail("the unsubscribe link cannot stand in a header")
    return f"{line}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode()


def _address(address: str, name: str = "") -> Address:
    if not address.isascii() or _CONTROLS.search(address):
        # Only servers that know SMTPUTF8 (RFC 6531) take others; the domain comes in ASCII already.
        raise BadMail("the address has characters that a mail server may not take")
    try:
        return Address(display_name=_one_line(name, _LONGEST_NAME), addr_spec=address)
    except (ValueError, IndexError) as error:
        raise BadMail(f"not an address: {error}") from error


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
