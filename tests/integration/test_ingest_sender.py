"""The sender on librdkafka, with a real broker."""

import asyncio
import ctypes
import uuid
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import KafkaError, Producer

from services.ingest.sender import Sender
from tests.integration.ingest_harness import world
from trolleybus.contracts.partition import partition_of
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable


def break_for_good(producer: Producer) -> None:
    """What librdkafka's own tests have for an error that no producer survives. Its handle is the object's first field."""
    (library,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    inject = ctypes.CDLL(str(library)).rd_kafka_test_fatal_error
    inject.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    handle = ctypes.cast(id(producer) + object.__basicsize__, ctypes.POINTER(ctypes.c_void_p))[0]
    assert inject(handle, KafkaError.UNKNOWN_PRODUCER_ID, b"injected") == KafkaError.NO_ERROR


async def sent(sender: Sender, outgoing: Sequence[Outgoing]) -> None:
    """Returns when all are acknowledged."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sender.send(outgoing, lambda error: end.set_exception(error) if error else end.set_result(None))
    await end


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
            assert second is not first
            await send()
            assert sender._kafka is second


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
