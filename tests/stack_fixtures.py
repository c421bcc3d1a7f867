"""The real servers that the integration tests run on: one stack a test run, in a folder of its own, on any free ports.

Tests that take a server away import `own_stack as stack` and `own_env as env`: a stack of the module's own, which nobody misses.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tools.stack.stack import Stack

KAFKA_HEAP = "384m"  # Each module has topics of its own.


@asynccontextmanager
async def _running(directory: Path) -> AsyncIterator[Stack]:
    """Kafka (without topics), the registry, PostgreSQL and Valkey. They end with this process, however it ends."""
    stack = Stack(directory, kafka_heap=KAFKA_HEAP)
    await stack.up()
    try:
        yield stack
    finally:
        await stack.reset()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The stack of this test run."""
    async with _running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def env(stack: Stack) -> dict[str, str]:
    """The services' settings for that stack."""
    return stack.env()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack for one module alone."""
    async with _running(tmp_path_factory.mktemp("own")) as stack:
        yield stack


@pytest.fixture(scope="module")
def own_env(stack: Stack) -> dict[str, str]:
    """The services' settings for the module's own stack."""
    return stack.env()
