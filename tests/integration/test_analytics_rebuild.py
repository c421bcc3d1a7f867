"""Figures made anew from the log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
import typer
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from typer.testing import CliRunner

from services.analytics import commands
from services.analytics.domain.facts import TABLES
from services.analytics.domain.projection import TOPICS
from services.analytics.rebuild import Rebuild, RebuildError
from tests.integration.analytics_harness import World, running, world
from tests.unit.analytics.life import life
from trolleybus.cli import CommandError
from trolleybus.contracts.partition import partition_of
from trolleybus.contracts.records import Record
from trolleybus.db import connect, create_database
from trolleybus.envelope import Envelopes

START = 1_760_000_000_000


@asynccontextmanager
async def lived(env: dict[str, str]) -> AsyncIterator[World]:
    """A running service that has read a store's life."""
    async with world(env) as around, running(around):
        await around.open_shop("store-one")
        records = life("store-one", seed=9, carts=200, start=START)
        await around.send(records + records[::5])
        await around.caught_up()
        yield around


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(env: dict[str, str]) -> AsyncIterator[World]:
    """One for all tests whose end leaves the facts and the log in agreement."""
    async with lived(env) as around:
        yield around


def rebuild(around: World) -> Rebuild:
    return Rebuild(
        url=around.settings.database_url,
        bootstrap=around.settings.kafka_bootstrap_servers,
        codec=around.codec,
        topics=[around.topics[name] for name in TOPICS],
        consumer=around.group,
    )


def silent(_read: int, _total: int) -> None: ...


async def contents(around: World) -> dict[str, list[str]]:
    return {
        table.name: sorted(str(sorted(row.items())) for row in await around.rows(f"SELECT * FROM facts.{table.name}"))
        for table in TABLES
    }


async def test_P6_the_replayed_tables_equal_the_live_ones(service: World) -> None:
    before = await contents(service)
    assert all(before.values())
    outcome = await rebuild(service).check(silent)
    assert not any(outcome.differing.values())
    assert outcome.rows == {name: len(rows) for name, rows in before.items()}
    swapped = await rebuild(service).swap(silent)
    assert swapped.read == outcome.read > 1000
    assert await contents(service) == before


async def test_P6_a_wrong_figure_is_found_and_mended(service: World) -> None:
    before = await contents(service)
    await service.rows("UPDATE facts.recoveries SET total_minor = total_minor + 1")
    await service.rows("DELETE FROM facts.orders")
    outcome = await rebuild(service).check(silent)
    assert outcome.differing["recoveries"] == 2 * len(before["recoveries"])
    assert outcome.differing["orders"] == len(before["orders"])
    assert outcome.differing["carts"] == 0
    await rebuild(service).swap(silent)
    assert await contents(service) == before


async def test_P6_the_service_goes_on_during_and_after_the_swap(service: World) -> None:
    async def flow() -> None:
        for part in range(12):
            await service.send(life("store-one", seed=100 + part, carts=20, start=START))

    async with asyncio.TaskGroup() as beside:
        beside.create_task(flow())
        await rebuild(service).swap(silent)
        await rebuild(service).swap(silent)
    await service.caught_up()
    assert not any((await rebuild(service).check(silent)).differing.values())
    assert (await service.get("/api/v1/analytics/dashboard", range="today")).status_code == 200
    [cart] = await service.rows("SELECT count(*) AS carts FROM facts.carts WHERE cart_id LIKE 'cart-1%%'")
    assert cart["carts"] > 200


async def transactions(around: World, *told: tuple[Sequence[Record], bool]) -> None:
    """Records as the detector writes them: each group in a transaction, committed or broken."""
    envelopes = Envelopes("tests", around.topics, around.codec)
    partitions = around.topics["recovery.carts"].partitions
    bootstrap = around.settings.kafka_bootstrap_servers
    kafka = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=around.group)
    await kafka.start()
    try:
        for records, committed in told:
            await kafka.begin_transaction()
            for one in map(envelopes.wrap, records):
                partition = partition_of(one.key, partitions)
                await kafka.send(one.topic, one.value, one.key, partition, headers=list(one.headers))
            await (kafka.commit_transaction() if committed else kafka.abort_transaction())
    finally:
        await kafka.stop()


async def test_P6_the_marks_of_transactions_and_what_broken_ones_told_change_nothing(service: World) -> None:
    lives = life("store-one", seed=77, carts=40, start=START)
    told = [record for record in lives if service.topics.of(record).name == "recovery.carts"]
    await transactions(service, (told, False), (told[:10], True), (told[5:], False), (told[10:], True))
    await service.caught_up()
    before = await contents(service)
    outcome = await rebuild(service).check(silent)
    assert not any(outcome.differing.values())
    await rebuild(service).swap(silent)
    assert await contents(service) == before
    await transactions(service, (told, True), (told[:1], False))
    await service.caught_up()
    assert await contents(service) == before


async def test_a_rebuild_that_is_broken_off_leaves_the_old_tables_in_use(service: World) -> None:
    before = await contents(service)

    def break_off(read: int, _total: int) -> None:
        if read:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(service).swap(break_off)
    assert await contents(service) == before
    assert await service.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'facts_rebuild'")
    await rebuild(service).swap(silent)
    assert await contents(service) == before
    assert not await service.rows("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'facts\\_%%'")


async def test_two_rebuilds_at_once_are_refused(service: World) -> None:
    conn = await connect(service.settings.database_url, name="test")
    try:
        await conn.execute("SELECT pg_advisory_lock(%s)", [0x54425242])
        with pytest.raises(RebuildError, match="another rebuild is at work"):
            await rebuild(service).check(silent)
    finally:
        await conn.close()


async def test_P6_what_is_older_than_the_log_is_kept(env: dict[str, str]) -> None:
    async with lived(env) as service:
        await _with_a_cut_log(service)


async def _with_a_cut_log(service: World) -> None:
    before = await contents(service)
    topic = service.topics["cart.activity"]
    admin = AIOKafkaAdminClient(bootstrap_servers=service.settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        held = await service.rows(
            "SELECT partition, next_offset FROM kafka_positions WHERE topic = %s AND next_offset > 0", topic.full_name
        )
        await admin.delete_records(
            {
                TopicPartition(topic.full_name, row["partition"]): RecordsToDelete(row["next_offset"] - 2)
                for row in held
                if row["next_offset"] > 2
            }
        )
    finally:
        await admin.close()
    outcome = await rebuild(service).swap(silent)
    assert outcome.kept > 0
    assert await contents(service) == before


async def test_the_command_checks_and_rebuilds(service: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "load_settings", lambda _kind: service.settings)

    rebuild_analytics = typer.Typer()
    rebuild_analytics.command()(commands.analytics)

    async def trolleybus(*arguments: str) -> Any:
        return await asyncio.to_thread(lambda: CliRunner().invoke(rebuild_analytics, arguments))

    checked = await trolleybus("--check")
    assert checked.exit_code == 0, checked.output
    await service.rows("UPDATE facts.recoveries SET total_minor = total_minor + 1")
    wrong = await trolleybus("--check")
    assert isinstance(wrong.exception, CommandError)
    assert "differ from the log" in str(wrong.exception)
    assert (await trolleybus()).exit_code == 0
    assert (await trolleybus("--check")).exit_code == 0


async def test_a_database_without_facts_is_told_so(env: dict[str, str]) -> None:
    async with world(env) as around:
        await create_database(around.settings.database_url)
        with pytest.raises(RebuildError, match="start the analytics service once"):
            await rebuild(around).check(silent)
