"""The catalogue of a seeded store."""

from collections.abc import Mapping, Sequence
from time import time_ns

from tools.seed.sender import send_all, sender
from tools.simulator.catalogue import Item, product_record


async def send_catalogue(
    env: Mapping[str, str], store_id: str, items: Sequence[Item], currency: str, shop_url: str
) -> None:
    """Every product as a record on the topic of products."""
    now = time_ns() // 1_000_000
    async with sender(env) as producer:
        await send_all(
            producer, [product_record(item, store_id, currency, shop_url, now) for item in items], lambda _: None
        )
