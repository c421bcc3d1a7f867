"""Order of sending and turning away, with a sender whose acknowledgements the test gives."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.domain.translation import Canonical
from services.ingest.metrics import IngestMetrics
from services.ingest.publisher import LARGEST_RECORD, KafkaUnavailable, Overloaded, Publisher, TooLarge
from services.ingest.sender import Done, QueueFull
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
    """Acknowledges when told; `fails` is raised instead of taking anything."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.waiting: list[Done] = []
        self.fails: Exception | None = None

    def send(self, outgoing: Sequence[Outgoing], done: Done) -> None:
        if self.fails is not None:
            raise self.fails
        self.sent.append([one.topic for one in outgoing])
        self.waiting.append(done)

    def tell(self, error: KafkaUnavailable | None = None) -> None:
        """What is waiting now is acknowledged, or not."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(error)

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


def publish(publishing: Publisher, store_id: str, records: Sequence[Canonical]) -> list[Exception | None]:
    """How it ended, once it has."""
    ends: list[Exception | None] = []
    publishing.publish(store_id, publishing.seal(records), ends.append)
    return ends


async def test_the_carts_activity_goes_only_after_everything_else_is_acknowledged() -> None:
    sender = Sender()
    ends = publish(publisher(sender, [0.0]), "", RECORDS)
    assert sender.sent == [["OrderPlaced", "CustomerUpdated"]]
    sender.tell()
    assert sender.sent[1:] == [["CartActivity", "CartActivity"]]
    assert ends == []
    sender.tell()
    assert ends == [None]


async def test_where_an_order_is_not_acknowledged_the_activity_that_it_ends_is_not_sent() -> None:
    sender = Sender()
    ends = publish(publisher(sender, [0.0]), "", RECORDS)
    error = KafkaUnavailable("no answer")
    sender.tell(error)
    assert sender.sent == [["OrderPlaced", "CustomerUpdated"]]
    assert ends == [error]


async def test_where_nothing_is_to_be_sent_nothing_is_waited_for() -> None:
    assert publish(publisher(Sender(), [0.0]), "", []) == [None]


async def test_while_too_many_wait_the_next_is_turned_away_at_once() -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0], max_in_flight=4)
    publish(publishing, "", RECORDS)
    with pytest.raises(Overloaded):
        publishing.check()
    sender.tell()
    sender.tell()
    publishing.check()


@pytest.mark.parametrize("bounds", [{"max_in_flight": 10}, {"max_bytes_in_flight": 10}])
async def test_one_store_holds_no_more_than_what_it_leaves_to_others(bounds: dict[str, int]) -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0], **bounds)
    publish(publishing, "", RECORDS)
    publishing.check()
    with pytest.raises(Overloaded, match="this store"):
        publish(publishing, "", RECORDS)
    assert publish(publishing, "other", OTHERS) == []
    sender.tell()
    sender.tell()
    publish(publishing, "", RECORDS)


async def test_while_one_waits_too_long_others_are_turned_away_and_readiness_says_so() -> None:
    sender = Sender()
    clock = [0.0]
    publishing = publisher(sender, clock)
    publish(publishing, "", OTHERS)
    publishing.check()
    clock[0] = 2.1
    assert not publishing.status().ok
    with pytest.raises(Overloaded):
        publish(publishing, "", RECORDS)
    sender.tell()
    assert publishing.status().ok


async def test_after_a_request_without_acknowledgement_one_at_a_time_tries_until_one_is_acknowledged() -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0])
    publish(publishing, "other", OTHERS)
    sender.tell(KafkaUnavailable("no answer"))
    publish(publishing, "other", OTHERS)
    with pytest.raises(Overloaded, match="one at a time"):
        publishing.check()
    sender.tell()
    for _ in range(3):
        publish(publishing, "other", OTHERS)


@pytest.mark.parametrize(
    ("raised", "told"), [(KafkaUnavailable("no answer"), KafkaUnavailable), (QueueFull("full"), Overloaded)]
)
async def test_what_the_sender_does_not_take_is_told_and_holds_no_room(
    raised: Exception, told: type[Exception]
) -> None:
    sender = Sender()
    publishing = publisher(sender, [0.0], max_in_flight=4)
    sender.fails = raised
    (end,) = publish(publishing, "", RECORDS)
    assert isinstance(end, told)
    sender.fails = None
    assert publish(publishing, "", RECORDS) == []


def test_a_record_that_kafka_would_not_take_is_found_before_it_is_sent() -> None:
    with pytest.raises(TooLarge):
        publisher(Sender(), [0.0]).seal([OrderPlaced(id="x" * (LARGEST_RECORD + 1))])
