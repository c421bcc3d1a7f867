"""SMTP: a few connections, each used by one call at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from services.messaging.transports import Accepted, Answer, Mail, MayBegin, NotAccepted, Rejected, TooLate, Unknown

_BAD_ADDRESS = "5.1."  # Enhanced status codes of addresses (RFC 3463, 3.2).


class BadSmtpUrl(ValueError):
    """SMTP_URL is not understood; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmtpServer:
    """Where to send, and how."""

    host: str
    port: int
    tls: bool
    starttls: bool | None  # None: where the server offers it.
    user: str
    password: str

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """smtp://user:password@host:587?starttls=1 (0: never), or smtps://host:465."""
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise BadSmtpUrl("SMTP_URL must read smtp://host:port or smtps://host:port")
        tls = parts.scheme == "smtps"
        asked = parse_qs(parts.query).get("starttls", [""])[0]
        return cls(
            host=parts.hostname,
            port=parts.port or (465 if tls else 25),
            tls=tls,
            starttls={"1": True, "0": False}.get(asked) if not tls else False,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class SmtpTransport:
    """Says NotAccepted for what fails before the server could have taken the mail, Unknown for what fails after."""

    name = "smtp"
    channels = frozenset({"email"})

    def __init__(self, server: SmtpServer, *, connections: int, timeout_s: float) -> None:
        self._server = server
        self._timeout = timeout_s
        self.capacity = connections
        self._room = asyncio.Semaphore(connections)
        self._idle: list[SMTP] = []

    async def send(self, mail: Mail, may_begin: MayBegin) -> Answer:
        async with self._room:
            try:
                client = await self._idle_one() or await self._connect()
            except (SMTPException, OSError, TimeoutError) as error:
                return NotAccepted(reason=f"SMTP: no connection: {error!r}")
            try:
                answer = await self._deliver(client, mail, may_begin)
            except BaseException:
                client.close()
                raise
            if client.is_connected:
                self._idle.append(client)
            return answer

    async def look_up(self, message_id: str) -> Accepted | None:  # noqa: ARG002 - SMTP cannot say
        return None

    async def close(self) -> None:
        for client in self._idle:
            client.close()
        self._idle.clear()

    async def _deliver(self, client: SMTP, mail: Mail, may_begin: MayBegin) -> Answer:
        try:
            await client.mail(mail.sender)
            await client.rcpt(mail.recipient)
        except SMTPResponseException as refused:
            return _refusal(refused)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return NotAccepted(reason=f"SMTP: {error!r}")
        if not may_begin():
            return TooLate()
        try:
            answer = await client.data(mail.raw)
        except SMTPDataError as refused:
            return _refusal(refused)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return Unknown(reason=f"SMTP: no answer to the mail: {error!r}")
        return Accepted(provider_message_id=answer.message[:200])

    async def _idle_one(self) -> SMTP | None:
        """A connection that still answers; servers close idle ones."""
        while self._idle:
            client = self._idle.pop()
            try:
                await client.rset()
            except (SMTPException, OSError, TimeoutError):
                client.close()
            else:
                return client
        return None

    async def _connect(self) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=server.starttls,
            username=server.user or None,
            password=server.password or None,
            timeout=self._timeout,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client


def _refusal(error: SMTPResponseException) -> Rejected | NotAccepted | Unknown:
    """A reply is certain: 4yz to be tried again, 5yz for good (RFC 5321, 4.2.1)."""
    reason = f"SMTP: {error.code} {error.message}"[:500]
    if 500 <= error.code < 600:
        bad = isinstance(error, SMTPRecipientRefused) and error.message.lstrip().startswith(_BAD_ADDRESS)
        return Rejected(reason=reason, address_at_fault=bad)
    if 400 <= error.code < 500:
        return NotAccepted(reason=reason)
    return Unknown(reason=reason)
