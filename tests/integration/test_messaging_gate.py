"""The send gate on real servers: purchases, words, holds, and two processes at one queue."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.messaging_harness import BARRIER, HOUR, Messaging, World, now_ms, running, world_around
from trolleybus.contracts.customers import IdentitiesLinked
from trolleybus.contracts.messages import MessageDeferred, MessageRefused, MessageSent
from trolleybus.topics import Topics


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(env: dict[str, str]) -> AsyncIterator[World]:
    async with world_around(env, f"gate{uuid4().hex[:6]}.") as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def messaging(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Messaging]:
    async with running(world, tmp_path_factory.mktemp("messaging") / "messaging.log") as process:
        yield process


async def _refusal(world: World, message_id: str) -> str:
    await world.reaches(message_id, "refused")

    async def told() -> str:
        return next((one.rule for one in await world.told(message_id) if isinstance(one, MessageRefused)), "")

    return await eventually(told)


async def test_P3_a_message_goes_out_once_with_the_offsets_that_prove_its_barrier(
    world: World, messaging: Messaging
) -> None:
    await world.send(world.order(identities=(world.hashed("email", "else@example.com"),)))
    request = world.request("first@example.com")
    await world.send(request)
    await world.reaches(request.message_id, "sent")

    async def all_told() -> bool:
        return await world.kinds(request.message_id) == {"MessageSent", "MessageDelivered"}

    await eventually(all_told)
    assert await world.mails(request.message_id) == 1
    sent = next(one for one in await world.told(request.message_id) if isinstance(one, MessageSent))
    told = {(one.topic, one.partition): one.offset for one in sent.barrier}
    topics: Topics = world.topics
    assert told.keys() == {
        (topics[name].full_name, number) for name in BARRIER for number in range(topics[name].partitions)
    }
    for name in BARRIER:  # Nothing was written since.
        ends = await world.ends(name)
        assert {part: told[topics[name].full_name, part] for part in ends} == ends
    assert 0 <= sent.called_at - sent.barrier_read_at <= 2000


async def test_P3_an_order_acknowledged_before_the_due_time_stops_the_message_while_the_projection_is_held_back(
    world: World, messaging: Messaging
) -> None:
    buyer, other = world.hashed("email", "buyer@example.com"), world.hashed("customer", "42")
    request = world.request("buyer@example.com", not_before=now_ms() + 1500)
    bystander = world.request("bystander@example.com", not_before=now_ms() + 1500)
    async with world.database(autocommit=False) as conn:
        # The projection cannot move while its rows are locked; the gate can still read them.
        await conn.execute("SELECT * FROM kafka_positions WHERE consumer LIKE %s FOR UPDATE", ["%messaging.gate"])
        await world.send(request, bystander)
        await world.send(
            IdentitiesLinked(
                id=str(uuid4()), store_id=world.store, occurred_at=now_ms(), customer_id="42", identities=(buyer, other)
            )
        )
        await world.send(world.order(identities=(other,)))  # Known to be the buyer by the link alone.
        deadline = now_ms() + 3500
        while now_ms() < deadline:
            assert await world.state(request.message_id) in ("", "queued")
            assert await world.state(bystander.message_id) in ("", "queued")
            await asyncio.sleep(0.1)
        await conn.rollback()
    assert await _refusal(world, request.message_id) == "purchase"
    assert await world.mails(request.message_id) == 0
    await world.reaches(bystander.message_id, "sent")


async def test_P3_an_order_of_the_cart_stops_its_message_and_an_older_one_does_not(
    world: World, messaging: Messaging
) -> None:
    stopped, older = world.request("cart@example.com"), world.request("older@example.com")
    await world.send(
        world.order(cart_id=stopped.cart_id),
        world.order(cart_id=older.cart_id, occurred_at=older.purchase_since - 1),
    )
    await world.send(stopped, older)
    assert await _refusal(world, stopped.message_id) == "purchase"
    await world.reaches(older.message_id, "sent")


async def test_P5_a_persons_no_survives_a_later_sync_and_their_own_yes_undoes_it(
    world: World, messaging: Messaging
) -> None:
    await world.send(world.word("no@example.com", "revoked", "person", occurred_at=now_ms() - 2000))
    await world.send(world.word("no@example.com", "granted", "sync", occurred_at=now_ms()))
    request = world.request("no@example.com")
    await world.send(request)
    assert await _refusal(world, request.message_id) == "consent_revoked"
    await world.send(world.word("no@example.com", "granted", "person"))
    again = world.request("no@example.com")
    await world.send(again)
    await world.reaches(again.message_id, "sent")


async def test_P5_an_unsubscribe_is_in_force_when_it_is_answered(world: World, messaging: Messaging) -> None:
    first = world.request("leaver@example.com")
    await world.send(first)
    await world.reaches(first.message_id, "sent")
    path = f"/u/{messaging.signed('unsubscribe', {'m': first.message_id})}"
    shown = await messaging.get(path, sign_in=False)
    assert (shown.status_code, "<form" in shown.text) == (200, True)
    assert (
        await world.rows("SELECT 1 FROM permissions WHERE person_no_at > 0 AND address_hash = %s", first.address_hash)
        == []
    )

    body = {"List-Unsubscribe": "One-Click"}
    assert (await messaging.post(path, sign_in=False, data=body)).status_code == 200
    assert (await messaging.post(path, sign_in=False, data=body)).status_code == 200  # Again: nothing new.
    second = world.request("leaver@example.com")
    await world.send(second)
    assert await _refusal(world, second.message_id) == "consent_revoked"

    async def words() -> list[object]:
        return [
            one for one, _ in await world.stored("consent") if getattr(one, "source_event_id", "") == first.message_id
        ]

    assert len(await eventually(words)) == 1
    assert "MessageUnsubscribed" in await world.kinds(first.message_id)


async def test_P5_quiet_hours_defer_in_the_recipients_own_zone_and_the_next_attempt_goes(
    world: World, messaging: Messaging
) -> None:
    # Quiet all day but the hour that has just begun twelve hours away.
    minute = now_ms() // 60_000 % 1440
    store = await world.open_store(
        "store-quiet", quiet_from_minute=(minute - 60) % 1440, quiet_to_minute=(minute + 60) % 1440
    )
    here = world.request("here@example.com", store=store, time_zone="Etc/GMT")
    there = world.request("there@example.com", store=store, time_zone="Etc/GMT-12")
    await world.send(here, there)
    await world.reaches(here.message_id, "deferred")
    await world.reaches(there.message_id, "sent")

    async def told() -> MessageDeferred | None:
        return next((one for one in await world.told(here.message_id) if isinstance(one, MessageDeferred)), None)

    deferred = await eventually(told)
    assert deferred is not None
    assert deferred.rule == "quiet_hours"
    assert now_ms() < deferred.until <= now_ms() + HOUR + 60_000
    following = world.request(
        "here@example.com", store=store, journey_id=here.journey_id, attempt=2, time_zone="Etc/GMT-12",
        deferred_from=deferred.until,
    )  # fmt: skip
    await world.send(following)
    await world.reaches(following.message_id, "sent")


async def test_P4_an_attempt_waits_for_the_one_before_it(world: World, messaging: Messaging) -> None:
    second = world.request("waiting@example.com", attempt=2)
    await world.send(second)

    async def waits() -> bool:
        rows = await world.rows("SELECT waiting_for FROM messages WHERE message_id = %s", second.message_id)
        return bool(rows) and "earlier attempt" in rows[0]["waiting_for"]

    await eventually(waits)
    assert await world.state(second.message_id) == "queued"


async def test_P5_the_cap_counts_every_address_of_a_person(world: World, messaging: Messaging) -> None:
    store = await world.open_store("store-capped", cap_messages=1, cap_seconds=7 * 86400)
    one, two = world.hashed("email", "one@example.com", store), world.hashed("email", "two@example.com", store)
    await world.send(
        IdentitiesLinked(id=str(uuid4()), store_id=store, occurred_at=1, customer_id="c", identities=(one, two))
    )
    first, second = (world.request(f"{name}@example.com", store=store) for name in ("one", "two"))
    await world.send(first, second)
    states = [await world.reaches(one.message_id, "sent", "refused") for one in (first, second)]
    assert sorted(states) == ["refused", "sent"]


async def test_P8_a_malformed_order_holds_its_store_and_only_it(world: World, messaging: Messaging) -> None:
    held, free = await world.open_store("store-held"), await world.open_store("store-free")
    partition, offset = await world.send_raw("orders", b"store-held:order-9", b"\x00not avro", "store-held")
    stopped, goes = world.request("a@example.com", store=held), world.request("b@example.com", store=free)
    await world.send(stopped, goes)
    await world.reaches(goes.message_id, "sent")

    async def waits() -> bool:
        rows = await world.rows("SELECT waiting_for FROM messages WHERE message_id = %s", stopped.message_id)
        return bool(rows) and "held" in rows[0]["waiting_for"]

    await eventually(waits)
    found = (await messaging.get("/api/v1/holds")).json()["holds"]
    assert [(one["store_id"], one["partition"], one["record_offset"]) for one in found] == [(held, partition, offset)]
    hold = found[0]["id"]
    listed = await _command(world, "list")
    assert f"offset {offset}" in " ".join(listed.split())
    unreasoned = await messaging.post(f"/api/v1/holds/{hold}/release", json={"reason": ""})
    assert unreasoned.status_code == 422
    assert (await messaging.post(f"/api/v1/holds/{hold}/release", json={"reason": "a test order"})).status_code == 200
    await world.reaches(stopped.message_id, "sent")
    released = (await messaging.get("/api/v1/holds", params={"released": True})).json()["holds"]
    assert [one["release_reason"] for one in released if one["id"] == hold] == ["a test order"]


async def test_P8_a_message_that_makes_no_mail_is_refused_and_holds_up_no_other(
    world: World, messaging: Messaging
) -> None:
    bad = world.request("not an address", identities=(world.hashed("anonymous", "x"),))
    good = world.request("good@example.com")
    await world.send(bad, good)
    assert await _refusal(world, bad.message_id) == "bad_mail"
    await world.reaches(good.message_id, "sent")


async def _command(world: World, *arguments: str) -> str:
    """What `trolleybus hold …` prints."""
    code = "from services.messaging.commands import hold; hold()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, env={**os.environ, **world.env, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_P8_the_command_line_releases_a_hold_of_every_store(world: World, messaging: Messaging) -> None:
    partition, offset = await world.send_raw("consent", b"", b"nonsense", "")

    async def held() -> int:
        rows = await world.rows(
            "SELECT id FROM holds WHERE store_id = '*' AND record_offset = %s AND partition = %s", offset, partition
        )
        return int(rows[0]["id"]) if rows else 0

    hold = await eventually(held)
    request = world.request("everybody@example.com")
    await world.send(request)

    async def waits() -> bool:
        rows = await world.rows("SELECT waiting_for FROM messages WHERE message_id = %s", request.message_id)
        return bool(rows) and "held" in rows[0]["waiting_for"]

    await eventually(waits)
    await _command(world, "release", str(hold), "--reason", "nonsense of a test")
    await world.reaches(request.message_id, "sent")
    rows = await world.rows("SELECT release_reason FROM holds WHERE id = %s", hold)
    assert rows == [{"release_reason": "nonsense of a test"}]


async def test_P4_two_processes_at_one_queue_send_each_message_once(
    world: World, messaging: Messaging, tmp_path: Path
) -> None:
    async with running(world, tmp_path / "second.log"):
        requests = [world.request(f"many-{number}@example.com") for number in range(120)]
        await world.send(*requests)
        for request in requests:
            await world.reaches(request.message_id, "sent", within_s=60)
        rows = await world.rows(
            "SELECT message_id, count(*) AS n FROM inbox WHERE message_id = ANY(%s) GROUP BY message_id",
            [request.message_id for request in requests],
        )
        assert {row["n"] for row in rows} == {1}
        assert len(rows) == len(requests)
