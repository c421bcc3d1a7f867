"""The local stack that everything else is tested on."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from httpx2 import AsyncClient

from tools.stack.stack import Stack
from tools.stack.state import read_environment

TROLLEYBUS = str(Path(sys.executable).with_name("trolleybus"))
ANY_PORTS = [f"--{name}-port=0" for name in ("kafka", "registry", "postgres", "valkey")]


async def test_every_part_of_a_stack_is_ready(stack: Stack) -> None:
    assert {part.name: part.ready for part in await stack.status()} == {
        "kafka-1": True,
        "registry": True,
        "postgres": True,
        "valkey": True,
    }


async def test_a_part_that_is_frozen_is_not_ready_until_it_goes_on(stack: Stack) -> None:
    stack.pause("valkey")
    try:
        assert not {part.name: part.ready for part in await stack.status()}["valkey"]
    finally:
        stack.resume("valkey")
    assert {part.name: part.ready for part in await stack.status()}["valkey"]


async def test_a_second_start_in_the_same_folder_is_refused_and_harms_nothing(stack: Stack) -> None:
    refused = await _trolleybus("stack", "down", "--dir", str(stack.directory), check=False)
    assert refused.returncode == 1
    assert f"belongs to a command that still runs (process {os.getpid()})" in refused.stderr
    assert all(part.ready for part in await stack.status())


@pytest.mark.usefixtures("stack")  # so that two run at once
async def test_a_detached_stack_keeps_its_state_over_down_and_up_until_reset(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    arguments = ("--dir", str(folder))
    try:
        await _trolleybus("stack", "up", *arguments, *ANY_PORTS)
        env = read_environment(folder)
        assert {(folder / name).stat().st_mode & 0o777 for name in ("env", "stack.json")} == {0o600}
        schema_id = await _leave_something(env)

        await _trolleybus("stack", "down", *arguments)
        stopped = await _trolleybus("stack", "status", *arguments, check=False)
        assert stopped.returncode == 1
        assert stopped.stdout.count("stopped") == 4

        await _trolleybus("stack", "up", *arguments)  # with the ports that it remembers
        assert read_environment(folder) == env
        assert (await _trolleybus("stack", "status", *arguments)).stdout.count(" ready ") == 4
        assert await _find_it_again(env) == (["kept"], schema_id, [("kept",)], "kept")
        processes = [psutil.Process(part.pid) for part in await Stack(folder).status() if part.pid]
        assert len(processes) == 4
    finally:
        await _trolleybus("stack", "reset", *arguments)
    assert not folder.exists()
    assert not [process for process in processes if _runs(process)]


async def test_writes_go_on_when_one_of_three_brokers_is_killed(three_brokers: Stack) -> None:
    bootstrap = three_brokers.env()["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("numbers", num_partitions=1, replication_factor=3)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    sent = [await producer.send_and_wait("numbers", str(n).encode()) for n in range(50)]
    assert [record.offset for record in sent] == list(range(50))
    leader = producer.client.cluster.leader_for_partition(TopicPartition("numbers", 0))

    await three_brokers.kill(f"kafka-{leader}")
    for n in range(50, 100):
        await producer.send_and_wait("numbers", str(n).encode())
    await producer.stop()
    assert {part.name for part in await three_brokers.status() if not part.ready} == {f"kafka-{leader}"}
    assert await _values("numbers", 100, bootstrap) == [str(n) for n in range(100)]

    await three_brokers.start(f"kafka-{leader}")
    assert all(part.ready for part in await three_brokers.status())


@pytest.fixture
async def three_brokers(tmp_path: Path) -> AsyncIterator[Stack]:
    stack = Stack(tmp_path / "three", brokers=3)
    await stack.up()
    yield stack
    await stack.reset()


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def _leave_something(env: dict[str, str]) -> int:
    bootstrap = env["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("keepsakes", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait("keepsakes", b"kept")
    async with AsyncClient() as http:
        schema = json.dumps({"type": "record", "name": "Keepsake", "fields": []})
        url = f"{env['SCHEMA_REGISTRY_URL']}/subjects/Keepsake/versions"
        schema_id: int = (await http.post(url, json={"schema": schema})).raise_for_status().json()["id"]
    async with await psycopg.AsyncConnection.connect(_database(env), autocommit=True) as connection:
        await connection.execute("create table keepsake as select 'kept' as what")
    async with redis.from_url(env["REDIS_URL"]) as valkey:
        await valkey.set("keepsake", "kept")
    return schema_id


async def _find_it_again(env: dict[str, str]) -> object:
    records = await _values("keepsakes", 1, env["KAFKA_BOOTSTRAP_SERVERS"])
    async with AsyncClient() as http:
        url = f"{env['SCHEMA_REGISTRY_URL']}/subjects/Keepsake/versions/latest"
        schema_id: int = (await http.get(url)).raise_for_status().json()["id"]
    async with await psycopg.AsyncConnection.connect(_database(env)) as connection:
        rows = await (await connection.execute("select what from keepsake")).fetchall()
    async with redis.from_url(env["REDIS_URL"], decode_responses=True) as valkey:
        return records, schema_id, rows, await valkey.get("keepsake")


def _database(env: dict[str, str]) -> str:
    return re.sub(r"/[^/]*$", "/trolleybus_analytics", env["POSTGRES_URL"])


async def _values(topic: str, count: int, bootstrap: str) -> list[str]:
    values: list[str] = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(20):
            while len(values) < count:
                values.append((await consumer.getone()).value.decode())
    return values


async def _trolleybus(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, [TROLLEYBUS, *arguments], capture_output=True, text=True, check=check, timeout=60
    )
