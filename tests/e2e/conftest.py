"""The line, once for all end-to-end tests: each test has stores of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.line import Line, running_line
from tools.stack.stack import Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def line(stack: Stack, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    """Five services on the stack of this test run."""
    directory: Path = tmp_path_factory.mktemp("services")
    async with running_line(env, directory, stack.directory) as line:
        yield line
