"""Webhooks that were taken already: a bounded memory in Valkey, so that a redelivery costs no more than a question.

It may forget: then the same records are written once more, under the same ids.
"""

from hashlib import sha256

from services.ingest.valkey import Valkey

KEPT_S = 6 * 3600
"""Shopify redelivers for four hours."""


class Redeliveries:
    """Names a webhook by its store, topic and event; holds hashes only."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def knows(self, store_id: str, topic: str, event_id: str) -> bool:
        """Whether it was taken; False where Valkey is away, or it has no name."""
        if not event_id:
            return False
        key = _key(store_id, topic, event_id)
        return bool(await self._valkey.ask("redeliveries", lambda client: client.exists(key)))

    async def note(self, store_id: str, topic: str, event_id: str) -> None:
        """Kafka has it."""
        if event_id:
            key = _key(store_id, topic, event_id)
            await self._valkey.ask("redeliveries", lambda client: client.set(key, "", ex=KEPT_S))


def _key(store_id: str, topic: str, event_id: str) -> str:
    name = sha256(f"{store_id}\n{topic}\n{event_id}".encode()).hexdigest()[:32]
    return f"trolleybus:webhook:{name}"
