"""The whole past of a seeded store, as records in the order in which they arrived."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.seed.history import CartStory, Store
from tools.seed.people import people, records
from tools.seed.rhythm import moment
from tools.simulator.catalogue import catalogue, product_record
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.records import Record

DAYS = 30


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything. `bought` carts ended in an order at once."""

    customers: int = 1_000
    active: int = 500
    abandoned: int = 300
    bought: int = 900


def plan(
    seed: int, store: Store, hasher: IdentityHasher, shop_url: str, zone: str, now_ms: int, size: Size
) -> list[Record]:
    """Imported records, the same for the same seed, store and time.

    Active carts were touched within the first level; abandoned ones were left before it, and a campaign wrote to them
    or held them out. Those that came back and bought stand beside the abandoned, so that as many as asked stay abandoned.
    """
    random = Random(seed)
    items = catalogue(seed)
    customers = people(random, size.customers, store.store_id, hasher, now_ms)
    first: list[Record] = [product_record(item, store.store_id, store.currency, shop_url, now_ms) for item in items]
    for person in customers:
        first.extend(records(person, store.store_id))
    stories: list[CartStory] = []
    left = 0
    for number in range(size.bought):
        story = CartStory(
            random, store, random.choice(customers), items, f"b{number:04}", moment(random, now_ms, DAYS, zone)
        )
        story.fill(random.randint(1, 3))
        story.check_out()
        story.buy()
        stories.append(story)
    number = 0
    while left < size.abandoned:
        number += 1
        story = CartStory(
            random,
            store,
            random.choice(customers),
            items,
            f"l{number:04}",
            moment(random, now_ms - 3_600_000, DAYS, zone),
        )
        story.fill(random.randint(1, 4))
        if random.random() < 0.5:
            story.check_out()
        story.campaign()
        left += not any(isinstance(record, OrderPlaced) and record.occurred_at <= now_ms for record in story.records)
        stories.append(story)
    for number in range(size.active):
        began = now_ms - random.randint(1, max(2, store.first_level_s * 1000 // 2))
        story = CartStory(random, store, random.choice(customers), items, f"a{number:04}", began)
        story.fill(1)
        stories.append(story)
    past = [record for story in stories for record in story.records if record.occurred_at <= now_ms]
    past.sort(key=lambda record: record.occurred_at)
    ends: list[Record] = []
    for story in stories:
        before = len(story.records)
        story.end_import(now_ms)
        ends.extend(story.records[before:])
    return [*first, *past, *ends]
