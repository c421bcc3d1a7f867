"""Which cart a shopper has open: a map in Valkey, best effort, from identity hashes to cart ids."""

from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from services.ingest.domain.people import Identity
from services.ingest.domain.translation import Translation
from services.ingest.valkey import Valkey

KEPT_S = 30 * 86_400


class OpenCarts:
    """Holds no personal data: hashes and the shop's own cart ids."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def find(self, store_id: str, people: Sequence[tuple[Identity, ...]]) -> list[str | None]:
        """The open cart of each shopper, by the strongest identity that has one."""
        keys = list(dict.fromkeys(_key(store_id, identity) for person in people for identity in person))
        if not keys:
            return [None] * len(people)
        answer = await self._valkey.ask("open_carts", lambda client: client.mget(keys))
        found = {key: str(cart) for key, cart in zip(keys, answer or (), strict=False) if cart}
        return [_first(found.get(_key(store_id, identity)) for identity in person) for person in people]

    async def note(self, store_id: str, translations: Iterable[Translation]) -> None:
        """Remember the carts of events that Kafka has, the last word of each shopper; an order closes its own."""
        carts: dict[str, str] = {}
        for translation in translations:
            cart_id = "" if translation.closes_cart else translation.cart_id
            if translation.cart_id:
                carts.update((_key(store_id, identity), cart_id) for identity in translation.identities)
        if not carts:
            return

        async def write(client: Redis) -> bool:
            pipe = client.pipeline(transaction=False)
            for key, cart_id in carts.items():
                if cart_id:
                    pipe.set(key, cart_id, ex=KEPT_S)
                else:
                    pipe.delete(key)
            await pipe.execute()
            return True

        await self._valkey.ask("open_carts", write)


def _key(store_id: str, identity: Identity) -> str:
    return f"trolleybus:cart:{store_id}:{identity.hash}"


def _first(carts: Iterable[str | None]) -> str | None:
    return next((cart for cart in carts if cart), None)
