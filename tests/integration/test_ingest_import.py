"""`trolleybus import` on the real servers: what stands on the topics, and what the detector makes of it."""

import asyncio
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.eventually import eventually
from tests.integration.detector_harness import Detectors, world
from tests.integration.ingest_harness import USED
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.recovery import CartAbandoned, CartExpired
from trolleybus.registry import Registry
from trolleybus.topic_admin import create_topics, register_schemas

TROLLEYBUS = str(Path(sys.executable).with_name("trolleybus"))
CUP = {"product_id": "cup-1", "name": "A cup", "price": 12.5, "quantity": 2}


def track(number: int, at: str, event: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"m-{number}",
        "anonymousId": f"a-{properties.get('cart_id', 'c-bought')}",
        "timestamp": at,
        "event": event,
        "properties": properties,
    }


HISTORY: list[Any] = [
    track(1, "2024-05-01T10:00:00Z", "Product Added", cart_id="c-left", **CUP),
    track(2, "2024-05-01T10:01:00Z", "Product Added", cart_id="c-bought", **CUP),
    "not a call",
    track(3, "2024-05-01T10:05:00Z", "Order Completed", order_id="o-1", total=25),
]


@pytest_asyncio.fixture(loop_scope="session")
async def detectors(env: dict[str, str], tmp_path: Path) -> AsyncIterator[Detectors]:
    """With the gateway's topics beside the detector's, and a store that has detection since long ago."""
    async with world(env, tmp_path) as found:
        topics = [found.topics[name] for name in USED]
        await create_topics(found.env["KAFKA_BOOTSTRAP_SERVERS"], topics, lambda _: None)
        async with Registry(env["SCHEMA_REGISTRY_URL"]) as registry:
            await register_schemas(registry, topics, lambda _: None)
        await found.open_store(levels=(900,), expiry_seconds=30 * 86_400, detection_from=1)
        yield found


async def import_(detectors: Detectors, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        TROLLEYBUS,
        "import",
        *arguments,
        env={**os.environ, **detectors.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), errors.decode()


async def test_history_from_a_file_is_detected_as_of_then_and_marked_as_imported(
    detectors: Detectors, tmp_path: Path
) -> None:
    file = tmp_path / "history.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, HISTORY)).encode()))
    code, output, errors = await import_(detectors, str(file), "--format", "segment", "--store", "store")
    assert code == 0, errors
    assert "Imported 3 lines" in output
    assert "line 3:" in output
    stored = [
        await detectors.codec.decode(one.value) for one in await detectors.stored(detectors.topics["cart.activity"])
    ]
    activities = [one for one in stored if isinstance(one, CartActivity)]
    assert all(one.imported for one in activities)
    of_carts = {(one.cart_id, one.kind) for one in activities if one.cart_id}
    assert of_carts == {("c-left", "lines_added"), ("c-bought", "lines_added"), ("c-bought", "order_placed")}
    assert sum(one.kind == "import_ended" for one in activities) == 12
    assert len(await detectors.stored(detectors.topics["orders"])) == 1

    await detectors.start_ready()

    async def told() -> dict[tuple[str, str], bool]:
        found = {(type(one).__name__, one.cart_id): one.imported for one in await detectors.told()}
        return found if len(found) >= 2 else {}

    assert await eventually(told) == {
        (CartAbandoned.__name__, "c-left"): True,
        (CartExpired.__name__, "c-left"): True,
    }

    again = await import_(detectors, str(file), "--format", "segment", "--store", "store")
    assert again[:2] == (0, output)
    assert len(await detectors.stored(detectors.topics["cart.activity"])) == len(stored)


async def test_what_keeps_an_import_from_beginning_is_one_sentence(detectors: Detectors, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(HISTORY[0]))
    for arguments, sentence in (
        ((str(tmp_path / "nothing"), "--format", "native", "--store", "store"), "cannot be read"),
        ((str(file), "--format", "segment", "--store", "nobody"), "there is no store nobody"),
    ):
        code, output, errors = await import_(detectors, *arguments)
        assert (code, output) == (1, "")
        assert sentence in errors
        assert "Traceback" not in errors
