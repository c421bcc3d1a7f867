"""Detection on real Kafka, compared with the reference id by id."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from tests.eventually import eventually
from tests.integration.detector_harness import Detectors, activity, batches, now_ms, world
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.recovery import CartAbandoned, CartRecovered

DAY = 86_400_000


@pytest_asyncio.fixture(loop_scope="session")
async def detectors(env: dict[str, str], tmp_path: Path) -> AsyncIterator[Detectors]:
    async with world(env, tmp_path) as found:
        yield found


def live_story(random_: random.Random, carts: int, records: int) -> list[CartActivity]:
    """Shoppers of the moment: late, twice and out of order; made to be sent in this order."""
    told: list[CartActivity] = []
    kinds = ["product_viewed", "checkout_step", "lines_added", "lines_added", "snapshot", "lines_removed"]
    for _ in range(records):
        if told and random_.random() < 0.05:
            told.append(random_.choice(told))
            continue
        cart = f"live-{random_.randrange(carts)}"
        kind = random_.choice([*kinds, "cart_emptied", "order_placed"])
        lines = [(random_.choice("abc"), random_.randint(1, 3))] if kind.startswith(("lines", "snap")) else []
        late = random_.choice([0, 0, 0, 300, 2500])
        order = f"o-{random_.randrange(10**9)}" if kind == "order_placed" else ""
        told.append(activity(kind, cart, -late, *lines, order_id=order))
    return told


def history(random_: random.Random, carts: int, ended_at: int) -> list[CartActivity]:
    """Imported carts of the last ten days, in order of arrival, and the end of their import."""
    told = []
    for number in range(carts):
        cart, at = f"old-{number}", ended_at - random_.randrange(DAY, 10 * DAY)
        for _ in range(random_.randrange(1, 6)):
            kind = random_.choice(["lines_added", "lines_added", "product_viewed", "order_placed", "cart_emptied"])
            lines = [("a", 1)] if kind == "lines_added" else []
            told.append(activity(kind, cart, at, *lines, imported=True, received_at=at))
            at = min(at + random_.randrange(60_000, DAY), ended_at)
    told.sort(key=lambda record: record.received_at)
    ends = [
        activity("import_ended", f"old-{number}", ended_at, imported=True, received_at=ended_at)
        for number in range(carts)
    ]
    return [*told, *ends]


async def play(detectors: Detectors, story: list[CartActivity], pause: float) -> None:
    """Sends a live story; times in it are relative to the moment of sending."""
    for batch in batches(story, 20):
        now = now_ms()
        await detectors.tell(
            *(
                record if record.imported else replace(record, occurred_at=now + min(record.occurred_at, 0))
                for record in batch
            )
        )
        await asyncio.sleep(pause)  # the shoppers' own pace


async def test_P2_P8_live_and_imported_carts_give_what_the_reference_gives_and_bad_records_are_parked(
    detectors: Detectors,
) -> None:
    await detectors.open_store(levels=(1, 2, 4), expiry_seconds=6)
    detector = await detectors.start_ready()
    source = detectors.topics["cart.activity"].full_name
    random_ = random.Random(11)
    story = live_story(random_, carts=25, records=300)
    await play(detectors, story[:150], 0.15)
    await detectors.tell(*history(random_, 30, now_ms()))
    bad = [
        (b"store:live-1", b"no record at all"),
        (b"store:live-1", None),
        (b"store:live-1", detectors.codec.encode(activity("lines_added", "live-1", -5, ("a", 1)))),
        (b"store:live-1", detectors.codec.encode(activity("product_viewed", "live-2", now_ms()))),
        (b"nobody:c", detectors.codec.encode(activity("product_viewed", "c", now_ms(), store_id="nobody"))),
        (b"store:live-1", detectors.codec.encode(detectors.settings[1])),
    ]
    for key, value in bad:
        await detectors.raw.send_and_wait(source, key=key, value=value)
    await play(detectors, story[150:], 0.15)
    told = await detectors.agrees(now_ms() + 7_000)
    assert len({effect.id for effect in told}) == len(told)
    kinds = Counter(type(effect).__name__ for effect in told)
    assert set(kinds) == {"CartAbandoned", "CartResumed", "CartCleared", "CartRecovered", "CartExpired"}

    parked = await detectors.stored(detectors.topics.dead_letter("abandonment", "cart.activity"))
    reasons = Counter(dict(message.headers)["dlt_reason"].decode() for message in parked)
    assert reasons == {"unreadable": 3, "Rejected": 2, "UnknownStore": 1}
    assert [value for _, value in bad if value is None] == [
        message.value for message in parked if message.value is None
    ]

    assert all(effect.fired_at >= effect.due_at for effect in told if isinstance(effect, CartAbandoned))
    assert {effect.cause.topic for effect in told} == {"cart.activity"}
    metrics = await detector.metrics()
    assert 'trolleybus_detector_parked_total{reason="Rejected"} 2.0' in metrics
    assert await detector.stop() < 5
    assert detector.process.returncode == 0


async def test_P2_a_detector_killed_in_mid_flow_loses_nothing(detectors: Detectors) -> None:
    await detectors.open_store(levels=(1, 2, 4), expiry_seconds=3600)
    random_ = random.Random(12)
    first = await detectors.start_ready()
    story = live_story(random_, carts=100, records=900)
    playing = asyncio.create_task(play(detectors, story, 0.05))
    await eventually(detectors.told, within_s=10)
    await first.kill()
    second = await detectors.start_ready()
    await playing
    told = await detectors.agrees(now_ms() + 4_000)
    by_id: dict[str, list[object]] = {}
    for effect in told:
        by_id.setdefault(effect.id, []).append(without_fired_at(effect))
    assert all(len(set(same)) == 1 for same in by_id.values()), "repeats are the same fact"
    assert "trolleybus_detector_level_lateness_seconds" in await second.metrics()
    assert any(isinstance(effect, CartRecovered) for effect in told)


async def test_P2_carts_move_between_workers_that_come_and_go(detectors: Detectors) -> None:
    await detectors.open_store(levels=(1, 2, 4), expiry_seconds=3600)
    random_ = random.Random(13)
    first = await detectors.start_ready()
    story = live_story(random_, carts=100, records=1200)
    playing = asyncio.create_task(play(detectors, story, 0.05))
    second = await detectors.start_ready()
    assert await first.stop() < 5
    third = await detectors.start()
    await playing
    await eventually(third.ready)
    await second.stop()
    await detectors.agrees(now_ms() + 4_000)


def without_fired_at(effect: object) -> object:
    return replace(effect, fired_at=0) if isinstance(effect, CartAbandoned) else effect


async def test_a_changelog_that_was_deleted_under_its_rows_ends_the_process_with_a_word(detectors: Detectors) -> None:
    await detectors.open_store(levels=(1, 2, 4))
    first = await detectors.start_ready()
    await detectors.tell(activity("lines_added", "cart", now_ms(), ("a", 1)))
    await eventually(detectors.told)
    await first.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=detectors.env["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    changelog = f"{detectors.env['TOPIC_PREFIX']}abandonment-carts-changelog"
    await admin.delete_topics([changelog])

    async def is_gone() -> bool:
        return changelog not in await admin.list_topics()

    await eventually(is_gone)
    await admin.close()
    second = await detectors.start()
    async with asyncio.timeout(60):
        assert await second.process.wait() == 1
    assert "deleted or made anew" in second.log.read_text()


async def test_a_detector_that_is_started_before_kafka_waits_and_says_so(detectors: Detectors) -> None:
    detector = await detectors.start(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    async def says_so() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=5) as client:
                answer = await client.get(f"http://127.0.0.1:{detector.port}/readyz")
        except httpx2.HTTPError:
            return False
        return answer.status_code == 503 and "starting: waits for" in answer.text

    await eventually(says_so)
    assert await detector.stop() < 5
    assert detector.process.returncode == 0
