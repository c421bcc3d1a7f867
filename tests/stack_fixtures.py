"""The real servers that the integration tests run on: one stack a test run, in a folder of its own, on any free ports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tools.stack.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Kafka (without topics), the registry, PostgreSQL and Valkey. They end with this process, however it ends."""
    directory: Path = tmp_path_factory.mktemp("stack")
    stack = Stack(directory)
    await stack.up()
    try:
        yield stack
    finally:
        await stack.reset()


@pytest.fixture(scope="session")
def env(stack: Stack) -> dict[str, str]:
    """The services' settings for that stack."""
    return stack.env()
