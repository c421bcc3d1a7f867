"""Folds customers, consent and orders into the audience; tells of each profile that changed."""

from services.campaigns.audience import store
from services.campaigns.audience.domain import profile as profiles
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerProfile, CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.records import Record
from trolleybus.db import Connection
from trolleybus.envelope import Received


async def on_record(conn: Connection, received: Received[Record]) -> tuple[CustomerProfile, ...]:
    record = received.record
    if isinstance(record, CustomerUpdated):
        return await _on_update(conn, record)
    if isinstance(record, IdentitiesLinked):
        await store.link(conn, record)
    elif isinstance(record, ConsentChanged):
        await store.add_consent(conn, record, received.arrival)
    elif isinstance(record, OrderPlaced):
        await store.add_order(conn, record)
    return ()


async def _on_update(conn: Connection, update: CustomerUpdated) -> tuple[CustomerProfile, ...]:
    before = await store.profile(conn, update.store_id, update.customer_id)
    after = profiles.fold(before, update)
    if after == before:
        return ()
    await store.save_profile(conn, after)
    if profiles.says_the_same(before, after):
        return ()
    return (profiles.record(after, update.id),)
