"""The local stack that everything else is tested on."""

import aiokafka
import psycopg
import redis.asyncio as redis

from tools.stack.stack import Stack


async def test_every_part_of_a_stack_is_ready_and_answers(stack: Stack, env: dict[str, str]) -> None:
    assert {part.name: part.ready for part in await stack.status()} == {
        "kafka-1": True,
        "registry": True,
        "postgres": True,
        "valkey": True,
    }
