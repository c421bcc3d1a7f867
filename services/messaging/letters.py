"""From a message and its content to the mail that a transport takes."""

from __future__ import annotations

import time

from services.messaging.links import CLICK, OPEN, UNSUBSCRIBE, MessageLinks
from services.messaging.mail import Letter, add_pixel, build, rewrite_links
from services.messaging.store.queue import Content, Message
from services.messaging.transports import Mail
from trolleybus.contracts.stores import SenderIdentity


class Letters:
    """Writes mails: clicks go by way of messaging, and every marketing mail can be unsubscribed from with one click."""

    def __init__(self, links: MessageLinks, *, open_pixel: bool) -> None:
        self._links = links
        self._open_pixel = open_pixel

    def write(self, message: Message, content: Content, sender: SenderIdentity) -> Mail:
        """Raises BadMail."""

        def by_way_of_us(url: str) -> str:
            return url if self._links.is_own(url) else self._links.url(CLICK, message.message_id, url)

        html = rewrite_links(content.html, by_way_of_us) if content.html else ""
        if html and self._open_pixel:
            html = add_pixel(html, self._links.url(OPEN, message.message_id))
        marketing = message.purpose != "transactional"
        raw = build(
            Letter(
                message_id=message.message_id,
                store_id=message.store_id,
                campaign_id=message.campaign_id,
                recipient=content.address,
                sender_address=sender.address,
                sender_name=sender.name,
                reply_to=sender.reply_to,
                subject=content.subject,
                text=content.body,
                html=html,
                unsubscribe_url=self._links.url(UNSUBSCRIBE, message.message_id) if marketing else "",
                sent_at=time.time_ns() // 1_000_000,
            )
        )
        return Mail(
            message_id=message.message_id,
            store_id=message.store_id,
            address_hash=message.address_hash,
            sender=sender.address,
            recipient=content.address,
            subject=content.subject,
            raw=raw,
        )
