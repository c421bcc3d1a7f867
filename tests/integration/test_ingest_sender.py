"""The sender on librdkafka, with a real broker."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer

from services.ingest import sender as sender_module
from services.ingest.kafka import chosen
from services.ingest.kafka.seam import Kafka, Parcelled
from services.ingest.sender import Sender
from tests.eventually import eventually
from tests.integration.ingest_harness import world
from tests.kafka_twins import begin, break_for_good, packed
from trolleybus.contracts.partition import partition_of
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable

__all__ = ["begin"]

pytestmark = pytest.mark.usefixtures("begin")


async def sent(sender: Sender, outgoing: Sequence[Outgoing | Parcelled]) -> None:
    """Returns when all are acknowledged."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sender.send(outgoing, lambda error: end.set_exception(error) if error else end.set_result(None))
    await end


async def is_closed(kafka: Kafka) -> bool:
    try:
        len(kafka)
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("is_noticed_first", [True, False])
async def test_what_is_fatal_to_the_producer_makes_one_new_one_and_hangs_nobody(
    env: dict[str, str], is_noticed_first: bool
) -> None:
    async with world(env, f"sender-{uuid.uuid4().hex[:6]}.") as around:
        topic = around.topics["cart.activity"].full_name
        bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
        async with Sender(bootstrap, timeout_s=10, most_records=1000, most_bytes=10**7) as sender:

            async def send() -> None:
                await asyncio.wait_for(sent(sender, [Outgoing(topic, b"key", b"value", [])]), 15)

            await send()
            first = sender._kafka
            assert first is not None
            break_for_good(first)
            if is_noticed_first:
                sender._poll()
            else:
                outcomes = await asyncio.gather(*(send() for _ in range(5)), return_exceptions=True)
                # The sender's own look may have come first: then they went with the new producer.
                assert all(one is None or isinstance(one, KafkaUnavailable) for one in outcomes)
            second = sender._kafka
            assert second is not None
            assert second is not first
            await send()
            assert sender._kafka is second
            await eventually(partial(is_closed, first))
        await eventually(partial(is_closed, second))


async def test_what_goes_wrong_with_one_acknowledgement_keeps_no_other_waiting(env: dict[str, str]) -> None:
    async with world(env, f"sender-{uuid.uuid4().hex[:6]}.") as around:
        one = Outgoing(around.topics["cart.activity"].full_name, b"key", b"value", [])
        async with Sender(env["KAFKA_BOOTSTRAP_SERVERS"], timeout_s=10, most_records=1000, most_bytes=10**7) as sender:

            def fails(_error: KafkaUnavailable | None) -> None:
                raise RuntimeError("a mistake of ours")

            sender.send([one], fails)
            await sent(sender, [one])
            await sent(sender, [one])


async def test_a_record_stands_on_the_partition_where_every_client_looks_for_its_key(env: dict[str, str]) -> None:
    keys = {b"store:cart-%d" % number for number in range(50)}
    async with world(env, f"sender-{uuid.uuid4().hex[:6]}.") as around:
        topic = around.topics["cart.activity"].full_name
        bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
        async with Sender(bootstrap, timeout_s=10, most_records=1000, most_bytes=10**7) as sender:
            await sent(sender, [Outgoing(topic, key, b"value", []) for key in sorted(keys)])
        reader = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        await reader.start()
        try:
            partitions = len(reader.partitions_for_topic(topic))
            async with asyncio.timeout(20):
                found = [await reader.getone() for _ in keys]
        finally:
            await reader.stop()
    assert partitions > 1
    assert {one.key: one.partition for one in found} == {key: partition_of(key, partitions) for key in keys}


@dataclass(frozen=True)
class Parcel:
    topic: str
    parcel: bytes


async def test_those_who_wait_when_a_producer_is_replaced_hear_so_at_once() -> None:
    async with Sender("127.0.0.1:1", timeout_s=60, most_records=1000, most_bytes=10**7) as sender:
        waiting = [
            asyncio.create_task(sent(sender, [one]))
            for one in (Outgoing("nowhere", b"key", b"value", []), Parcel("nowhere", packed(b"value", b"key", [])))
        ]
        await asyncio.sleep(0)
        assert sender._kafka is not None
        break_for_good(sender._kafka)
        async with asyncio.timeout(20):
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in outcomes] == [KafkaUnavailable, KafkaUnavailable]
        assert not sender.status().ok


async def test_an_acknowledgement_is_heard_when_it_comes_and_not_at_the_next_look(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not chosen.COMPILED:
        pytest.skip("confluent-kafka's producer cannot tell")
    monkeypatch.setattr(sender_module, "LOOK_S", 20.0)
    async with world(env, f"sender-{uuid.uuid4().hex[:6]}.") as around:
        one = Outgoing(around.topics["cart.activity"].full_name, b"key", b"value", [])
        async with Sender(env["KAFKA_BOOTSTRAP_SERVERS"], timeout_s=60, most_records=1000, most_bytes=10**7) as sender:
            await asyncio.wait_for(sent(sender, [one]), 10)
