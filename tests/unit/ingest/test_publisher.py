"""Order of sending and turning away, with a sender whose acknowledgements the test gives."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.domain.translation import Canonical
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import LARGEST_RECORD, KafkaUnavailable, Overloaded, Publisher, TooLarge
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.envelope import Outgoing
from trolleybus.readiness import PartStatus

RECORDS: list[Canonical] = [CartActivity(id="1"), OrderPlaced(id="2"), CartActivity(id="3"), CustomerUpdated(id="4")]
OTHERS: list[Canonical] = [CartActivity(id="5", store_id="other")]


def wrap(record: Canonical) -> Outgoing:
    """Without a registry."""
    return Outgoing(type(record).__name__, b"", record.id.encode(), [])


class Sender:
    """Acknowledges when told."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.may_acknowledge = asyncio.Event()

    async def send_outgoing(self, outgoing: Sequence[Outgoing]) -> None:
        self.sent.append([one.topic for one in outgoing])
        await self.may_acknowledge.wait()

    def status(self) -> PartStatus:
        return PartStatus(ok=True)


def publisher(
    sender: Sender, clock: list[float], max_in_flight: int = 100, max_bytes_in_flight: int = 10_000_000
) -> Publisher:
    return Publisher(
        sender,
        wrap,
        IngestMetrics(CollectorRegistry()),
        max_in_flight=max_in_flight,
        max_bytes_in_flight=max_bytes_in_flight,
        slow_after_s=2.0,
        clock=lambda: clock[0],
    )


async def test_the_carts_activity_goes_only_after_everything_else_is_acknowledged() -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0])
    task = asyncio.create_task(publishing.publish("", publishing.seal(RECORDS)))
    await asyncio.sleep(0)
    assert sender.sent == [["OrderPlaced", "CustomerUpdated"]]
    sender.may_acknowledge.set()
    await task
    assert sender.sent[1:] == [["CartActivity", "CartActivity"]]


async def test_while_too_many_wait_the_next_is_turned_away_at_once() -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0], max_in_flight=4)
    task = asyncio.create_task(publishing.publish("", publishing.seal(RECORDS)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        publishing.check()
    sender.may_acknowledge.set()
    await task
    publishing.check()


@pytest.mark.parametrize("bounds", [{"max_in_flight": 10}, {"max_bytes_in_flight": 10}])
async def test_one_store_holds_no_more_than_what_it_leaves_to_others(bounds: dict[str, int]) -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0], **bounds)
    task = asyncio.create_task(publishing.publish("", publishing.seal(RECORDS)))
    await asyncio.sleep(0)
    publishing.check()
    with pytest.raises(Overloaded, match="this store"):
        await publishing.publish("", publishing.seal(RECORDS))
    others = asyncio.create_task(publishing.publish("other", publishing.seal(OTHERS)))
    sender.may_acknowledge.set()
    await asyncio.gather(task, others)
    await publishing.publish("", publishing.seal(RECORDS))


async def test_while_one_waits_too_long_others_are_turned_away_and_readiness_says_so() -> None:
    sender = Sender()
    clock = [0.0]
    publishing = publisher(sender, clock)
    task = asyncio.create_task(publishing.publish("", publishing.seal(RECORDS)))
    await asyncio.sleep(0)
    publishing.check()
    clock[0] = 2.1
    assert not publishing.status().ok
    with pytest.raises(Overloaded):
        await publishing.publish("", publishing.seal(RECORDS))
    sender.may_acknowledge.set()
    await task
    assert publishing.status().ok


async def test_after_a_request_without_acknowledgement_one_at_a_time_tries_until_one_is_acknowledged() -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0])

    async def failing(outgoing: Sequence[Outgoing]) -> None:
        raise KafkaUnavailable("no answer")

    async def publish() -> None:
        await publishing.publish("other", publishing.seal(OTHERS))

    acknowledging, sender.send_outgoing = sender.send_outgoing, failing  # type: ignore[method-assign]
    with pytest.raises(KafkaUnavailable):
        await publish()
    sender.send_outgoing = acknowledging  # type: ignore[method-assign]
    trying = asyncio.create_task(publish())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="one at a time"):
        publishing.check()
    sender.may_acknowledge.set()
    await trying
    together = [asyncio.create_task(publish()) for _ in range(3)]
    await asyncio.gather(*together)


def test_a_record_that_kafka_would_not_take_is_found_before_it_is_sent() -> None:
    with pytest.raises(TooLarge):
        publisher(Sender(), [0.0]).seal([OrderPlaced(id="x" * (LARGEST_RECORD + 1))])
