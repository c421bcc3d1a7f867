"""From a storefront's event to a recovered order on the dashboard, with the truth compared cart by cart."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.e2e.line import JOURNEYS, Line, eventually, expected_facts, found_facts, promised, quiet, settled
from tools.oracles.reader import Seen
from tools.simulator.truth import Done

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

LEVELS = [6, 12, 20]
SERVICES = ("ingest", "abandonment", "campaigns", "messaging", "analytics")


def done_stands_on_the_topic(done: list[Done], log: list[Seen]) -> None:
    """P1: each acknowledged deed is on the topic, under one id however often it was sent."""
    by_event: dict[str, set[str]] = {}
    for seen in log:
        if seen.kind in ("CartActivity", "OrderPlaced", "CustomerUpdated"):
            by_event.setdefault(seen.values["source_event_id"], set()).add(f"{seen.kind} {seen.values['id']}")
    for one in done:
        for deed in one.deeds:
            records = by_event.get(deed.event_id, set())
            assert records, f"{one.shopper}'s {deed.what} was acknowledged and is on no topic"
            kinds = Counter(record.split()[0] for record in records)
            assert max(kinds.values()) == 1, f"{one.shopper}'s {deed.what} has several ids: {records}"


def stories_end_as_told(done: list[Done], log: list[Seen]) -> None:
    """P2: every cart that was left for good is abandoned once at each level; none that was bought at once is."""
    levels = Counter((seen.values["cart_id"], seen.values["level_seconds"]) for seen in _once(log, "CartAbandoned"))
    recovered = {seen.values["cart_id"] for seen in _once(log, "CartRecovered")}
    for one in done:
        if one.habit in ("leaver", "nameless", "refuser"):
            assert [levels[one.cart_id, level] for level in LEVELS] == [1, 1, 1], one.shopper
        if one.habit in ("browser", "bot", "emptier"):
            assert [levels[one.cart_id, level] for level in LEVELS][1:] == [0, 0], one.shopper
        if one.habit == "returner" and one.reminded:
            assert one.cart_id in recovered, one.shopper


def _once(log: list[Seen], kind: str) -> list[Seen]:
    return list({seen.values["id"]: seen for seen in log if seen.kind == kind}.values())


def nobody_is_written_to_against_their_word(done: list[Done], log: list[Seen]) -> None:
    """P5: who said no, and who said nothing, gets nothing; who is held out neither."""
    sent = {seen.values["cart_id"] for seen in log if seen.kind == "MessageSent"}
    assert sent.isdisjoint({one.cart_id for one in done if one.habit in ("refuser", "nameless", "browser", "bot")})
    held_out = {seen.values["cart_id"] for seen in log if seen.kind == "HeldOut"}
    assert sent.isdisjoint(held_out)


async def recoveries_are_credited(line: Line, store_id: str, log: list[Seen]) -> None:
    """The dashboard shows each recovered cart once, with its order's amount."""
    recovered = _once(log, "CartRecovered")
    headers = {"Authorization": f"Bearer {line.env['OPERATOR_TOKEN']}"}
    url = f"{line.env['ANALYTICS_URL']}/api/v1/analytics/dashboard"

    async def shown() -> dict[str, Any] | None:
        answer = await line.client.get(url, params={"store_id": store_id}, headers=headers)
        found: dict[str, Any] = answer.json()
        return found if found["recovered"]["carts"] >= len(recovered) else None

    dashboard = await eventually(shown, "the dashboard shows every recovery")
    assert dashboard["recovered"]["carts"] == dashboard["carts"]["recovered"] == len(recovered)
    revenue = {row["currency"]: row for row in dashboard["recovered"]["revenue"]}
    assert revenue["EUR"]["carts"] == len(recovered)
    abandoned = {seen.values["cart_id"] for seen in _once(log, "CartAbandoned")}
    assert dashboard["carts"]["abandoned"] == len(abandoned)
    # Later steps may go out meanwhile: the dashboard lies between what stood before and what stands after.
    later = await line.topics(store_id)
    assert _delivered(log) <= dashboard["messages"]["delivered"] <= _delivered(later)


def _delivered(log: list[Seen]) -> int:
    return len({seen.values["message_id"] for seen in log if seen.kind == "MessageDelivered"})


async def test_P1_P2_P3_P4_P5_what_shoppers_did_is_what_the_line_found_decided_sent_and_counted(line: Line) -> None:
    shop, storefront = await line.open_shop("Whole line", levels=LEVELS)
    done = await line.play(shop, storefront, seed=11, shoppers=40, per_second=4)
    await settled(line, shop.store_id, LEVELS)
    log = await quiet(line, shop.store_id)
    done_stands_on_the_topic(done, log)
    last = max(seen.at for seen in log if seen.topic == "cart.activity.v1")
    assert found_facts(log) == expected_facts(log, LEVELS, last + max(LEVELS) * 1000)
    stories_end_as_told(done, log)
    nobody_is_written_to_against_their_word(done, log)
    promised(log)
    assert sum(seen.kind == "MessageDelivered" for seen in log) >= 10
    assert sum(one.reminded for one in done) >= 3
    await recoveries_are_credited(line, shop.store_id, log)


async def test_P1_P2_P3_P4_each_service_is_killed_in_turn_under_load_and_nothing_is_lost_or_doubled(line: Line) -> None:
    shop, storefront = await line.open_shop("Killed in turn", levels=LEVELS)
    playing = asyncio.create_task(line.play(shop, storefront, seed=23, shoppers=60, per_second=3))
    for name in SERVICES:
        before = len(await line.topics(shop.store_id))

        async def more(before: int = before) -> bool:
            return len(await line.topics(shop.store_id)) > before

        await eventually(more, "the load flows")
        await line.services.kill(name)
        await line.services.start(name)
    done = await playing
    await settled(line, shop.store_id, LEVELS)
    log = await quiet(line, shop.store_id)
    done_stands_on_the_topic(done, log)
    last = max(seen.at for seen in log if seen.topic == "cart.activity.v1")
    assert found_facts(log) == expected_facts(log, LEVELS, last + max(LEVELS) * 1000)
    promised(log)
    await recoveries_are_credited(line, shop.store_id, log)


async def test_a_foreign_client_reads_recovery_carts_with_the_registrys_address_alone(line: Line) -> None:
    shop, storefront = await line.open_shop("Foreign client", levels=[3])
    answer = await line.post(storefront, "carts/track", cart_event("cart-foreign", customer_id="C1"))
    assert answer.status_code == 202, answer.text
    log = await settled(line, shop.store_id, [3])
    assert any(seen.kind == "CartAbandoned" for seen in log)

    def read() -> dict[str, Any] | None:
        registry = SchemaRegistryClient({"url": line.env["SCHEMA_REGISTRY_URL"]})
        decode = AvroDeserializer(registry)
        consumer = Consumer(
            {
                "bootstrap.servers": line.env["KAFKA_BOOTSTRAP_SERVERS"],
                "group.id": "subscriber",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe(["recovery.carts.v1"])
        try:
            while True:
                message = consumer.poll(20)
                if message is None:
                    return None
                value = decode(message.value(), SerializationContext(message.topic() or "", MessageField.VALUE))
                headers = {name: str(text, "utf-8") for name, text in list[Any](message.headers() or [])}
                if value is not None and value["store_id"] == shop.store_id:
                    return {"value": value, "headers": headers, "key": message.key()}
        finally:
            consumer.close()
            registry.close()

    found = await asyncio.to_thread(read)
    assert found is not None
    assert found["value"]["cart_id"] == "cart-foreign"
    assert found["value"]["level_seconds"] == 3
    assert found["value"]["due_at"].isoformat().endswith("+00:00")
    assert found["headers"]["ce_id"] == found["value"]["id"]
    assert found["headers"]["ce_type"] == "trolleybus.CartAbandoned"
    assert found["key"] == f"{shop.store_id}:cart-foreign".encode()


async def test_P5_a_persons_no_survives_a_later_sync_from_the_shop(line: Line) -> None:
    shop, storefront = await line.open_shop("A person's no", levels=[3])
    person = {"customer_id": "C-no", "email": "no@example.com"}
    words = [
        {"channel": "email", "state": "granted", "by": "person", "evidence": "checkout box"},
        {"channel": "email", "state": "revoked", "by": "person"},
        {"channel": "email", "state": "granted", "by": "sync", "evidence": "nightly export"},
    ]
    for number, word in enumerate(words):
        answer = await line.post(storefront, "customers", {"event_id": f"word-{number}", **person, "consent": [word]})
        assert answer.status_code == 202, answer.text
    assert (await line.post(storefront, "carts/track", cart_event("cart-no", **person))).status_code == 202
    await settled(line, shop.store_id, [3])

    async def decided() -> list[Seen] | None:
        log = await line.topics(shop.store_id, JOURNEYS)
        return log if any(seen.kind in ("JourneySkipped", "MessageRefused") for seen in log) else None

    log = await eventually(decided, "someone decided not to write", within_s=120)
    assert not any(seen.kind == "MessageSent" for seen in log)


async def test_P7_a_stores_keys_reach_its_own_data_only(line: Line) -> None:
    mine, my_keys = await line.open_shop("Mine", levels=[3])
    theirs, their_keys = await line.open_shop("Theirs", levels=[3])
    assert (await line.post(my_keys, "carts/track", cart_event("same-cart", customer_id="same"))).status_code == 202
    await settled(line, mine.store_id, [3])
    url = f"{line.env['ANALYTICS_URL']}/api/v1/analytics"
    foreign = {"Authorization": f"Bearer {their_keys.secret_key}"}
    for path in ("dashboard", "carts"):
        answer = await line.client.get(f"{url}/{path}", params={"store_id": mine.store_id}, headers=foreign)
        assert answer.status_code in (403, 404), answer.text
        assert "same-cart" not in answer.text
    assert await line.topics(theirs.store_id) == []
    own = await line.client.get(
        f"{url}/dashboard",
        params={"store_id": mine.store_id},
        headers={"Authorization": f"Bearer {my_keys.secret_key}"},
    )
    assert own.status_code == 200
    assert own.json()["carts"]["opened"] == 1


async def test_P8_a_malformed_record_is_parked_and_the_flow_goes_on(line: Line) -> None:
    shop, storefront = await line.open_shop("Malformed", levels=[3])
    await asyncio.to_thread(
        _produce, line.env, "cart.activity.v1", f"{shop.store_id}:cart-after", b"\0\0\0\0\x01not avro"
    )
    assert (await line.post(storefront, "carts/track", cart_event("cart-after", customer_id="C1"))).status_code == 202
    log = await settled(line, shop.store_id, [3])
    assert [seen.values["cart_id"] for seen in log if seen.kind == "CartAbandoned"] == ["cart-after"]
    listed = await asyncio.to_thread(trolleybus, line.env, "dlt", "list")
    assert "abandonment.cart.activity.dlt" in listed


def cart_event(cart_id: str, **more: Any) -> dict[str, Any]:
    """One item in a cart."""
    lines = [{"product_id": "P001", "name": "Oak desk lamp", "quantity": 1, "unit_price": "24.90"}]
    return {"event": "cart_updated", "event_id": f"put-in-{cart_id}", "cart_id": cart_id, "lines": lines, **more}


def _produce(env: dict[str, str], topic: str, key: str, value: bytes) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"], "partitioner": "murmur2_random"})
    producer.produce(topic, value, key=key, headers={"ce_storeid": key.partition(":")[0]})
    assert producer.flush(20) == 0


def trolleybus(env: dict[str, str], *arguments: str) -> str:
    """Run the command; what it prints."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    command = [str(Path(sys.executable).with_name("trolleybus")), *arguments]
    done = subprocess.run(
        command, env={**os.environ, "COLUMNS": "200", **env}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, json.dumps([done.stdout, done.stderr])
    return done.stdout
