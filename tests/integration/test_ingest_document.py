"""The gateway's document is tried by schemathesis: examples, edges of every field, and what it makes up, from one seed."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.ingest_harness import Ingest, Shop, running, world

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
AS_SEGMENT = "^/v1/"

# What a schema cannot say: which fields belong together, that a repeat must be told from a second event.
UNSAID = "positive_data_acceptance"
# Segment's calls are taken with what can be read of them; the rest is left out and said to be.
LENIENT = "positive_data_acceptance,negative_data_rejection"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log: Path = tmp_path_factory.mktemp("ingest") / "log"
    no_limit = {"RATE_LIMIT_PER_SECOND": "1000000", "RATE_LIMIT_BURST": "2000000"}
    async with (
        world(env, f"ingest-document-{uuid.uuid4().hex[:6]}.") as around,
        running(around, log, **no_limit) as one,
    ):
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(gateway: Ingest) -> Shop:
    return await gateway.open_shop("document")


@pytest.mark.parametrize(
    "choice",
    [
        ["--exclude-path-regex", AS_SEGMENT, "--exclude-checks", UNSAID],
        ["--include-path-regex", AS_SEGMENT, "--exclude-checks", LENIENT],
    ],
    ids=["own", "segment"],
)
async def test_P8_whatever_the_document_allows_or_forbids_is_answered_as_it_says(
    gateway: Ingest, shop: Shop, tmp_path: Path, choice: list[str]
) -> None:
    command = (
        *(str(SCHEMATHESIS), "run", f"{gateway.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {shop.secret_key}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1", "--generation-deterministic"),
        *("--no-color", "--request-timeout", "30", *choice),
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 150)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
