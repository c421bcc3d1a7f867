"""The log recorded and rehearsed gives what the running service gives of it."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import typer
from typer.testing import CliRunner

from services.abandonment.commands.carts import show
from services.abandonment.commands.record import record
from services.abandonment.commands.replay import replay
from services.abandonment.rehearsal.recording import record_line, settings_line
from tests.eventually import eventually
from tests.integration.detector_harness import Detectors, Process, activity, batches, now_ms, world
from trolleybus.cli import CommandError
from trolleybus.contracts.cart import CartActivity

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest_asyncio.fixture(loop_scope="session")
async def detectors(env: dict[str, str], tmp_path: Path) -> AsyncIterator[Detectors]:
    async with world(env, tmp_path) as found:
        yield found


def last_month(carts: int, ended_at: int) -> list[CartActivity]:
    """Carts that are left, come back, are emptied and bought; in the order of their arrival; all are over by now."""
    random_ = random.Random(21)
    told: list[CartActivity] = []
    kinds = ["lines_added", "lines_added", "lines_set", "product_viewed", "cart_emptied", "order_placed"]
    for number in range(carts):
        at = ended_at - random_.randrange(DAY, 20 * DAY)
        for _ in range(random_.randrange(1, 8)):
            kind = random_.choice(kinds)
            lines = [(random_.choice("ab"), random_.randint(1, 3))] if kind.startswith("lines") else []
            order = f"o-{len(told)}" if kind == "order_placed" else ""
            late = random_.choice([0, 0, 0, 2 * HOUR])
            version = random_.choice([1, 1, 1, 2])
            told.append(
                activity(
                    kind, f"cart-{number}", at - late, *lines, order_id=order, received_at=at, config_version=version,
                    email="shopper@example.com",
                )
            )  # fmt: skip
            if random_.random() < 0.1:
                told.append(told[-1])
            at = min(at + random_.choice([60_000, 20 * 60_000, 2 * HOUR, DAY]), ended_at)
    told.sort(key=lambda one: one.received_at)
    return told


async def run(env: dict[str, str], command: Callable[..., None], *arguments: str | Path) -> str:
    app = typer.Typer()
    app.command()(command)
    invoke = CliRunner(env={**env, "COLUMNS": "200"}).invoke
    result = await asyncio.to_thread(invoke, app, [str(argument) for argument in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


async def rehearsed(file: Path, *options: str) -> list[dict[str, Any]]:
    """The facts of a file."""
    out = file.with_suffix(".facts")
    await run({}, replay, file, "--out", out, "--force", "--until", "now", *options)
    return [json.loads(line) for line in out.read_text().splitlines()]


async def test_P2_a_rehearsal_gives_the_ids_of_the_running_service_over_the_same_records_imported(
    detectors: Detectors, tmp_path: Path
) -> None:
    for version, levels in ((1, (900, 3600, 86400)), (2, (600, 7200))):
        await detectors.open_store(version=version, levels=levels, expiry_seconds=2 * 86400)
    ended_at = now_ms() - 5 * DAY
    story = last_month(60, ended_at)
    lines = [settings_line(config) for config in detectors.settings.values()]
    lines += [record_line(one, -1, -1, one.received_at) for one in story]
    live = tmp_path / "live.jsonl"
    live.write_bytes(b"".join(lines))
    expected = {fact["id"]: fact["type"] for fact in await rehearsed(live)}
    assert set(expected.values()) == {"CartAbandoned", "CartResumed", "CartCleared", "CartRecovered", "CartExpired"}

    for batch in batches([replace(one, imported=True) for one in story], 500):
        await detectors.tell(*batch)
    carts = {one.cart_id for one in story}
    ends = [activity("import_ended", cart, ended_at, imported=True, received_at=ended_at) for cart in sorted(carts)]
    await detectors.tell(*ends)
    await detectors.start_ready()

    async def all_told() -> bool:
        return len({effect.id for effect in await detectors.told()}) >= len(expected)

    await eventually(all_told, within_s=60)
    told = await detectors.told()
    assert {effect.id: type(effect).__name__ for effect in told} == expected

    recording = tmp_path / "recorded.jsonl.gz"
    said = await run(detectors.env, record, recording)
    assert f"{len(story) + len(ends):,} records and 2 settings of stores are in {recording}" in said
    assert "in clear" in said
    assert recording.stat().st_mode & 0o777 == 0o600
    again = await rehearsed(recording)
    assert {fact["id"]: fact["type"] for fact in again} == expected
    causes = {effect.id: (effect.cause.partition, effect.cause.offset, effect.cause.ordinal) for effect in told}
    assert {fact["id"]: tuple(fact["cause"].values())[1:] for fact in again} == causes


async def test_a_cart_of_the_running_service_is_shown_with_what_is_due(detectors: Detectors) -> None:
    await detectors.open_store(levels=(1, 3600))
    detector = await detectors.start_ready()
    added_at = now_ms()
    await detectors.tell(activity("lines_added", "a/b c", added_at, ("lamp", 2), email="shopper@example.com"))
    url = ("--url", f"http://127.0.0.1:{detector.port}")

    async def shown() -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(await run(detectors.env, show, "store", "a/b c", *url, "--json"))
        except CommandError:
            return None
        return found if found["fired"] else None

    found = await eventually(shown)
    assert found is not None
    assert (found["status"], found["value"]) == ("abandoned", {"minor": 2500, "currency": "EUR"})
    assert [(level["level_seconds"], level["due_at"]) for level in found["fired"]] == [(1, added_at + 1000)]
    assert found["timers"][0] == {"what": "level", "level_seconds": 3600, "at": added_at + 3_600_000}
    assert found["timers"][1]["what"] == "expiry"
    assert "level 1h" in await run(detectors.env, show, "store", "a/b c", *url)
    with pytest.raises(CommandError, match="No such cart"):
        await run(detectors.env, show, "store", "another", *url)


async def test_whichever_worker_is_asked_a_cart_is_shown_by_the_one_that_has_it(detectors: Detectors) -> None:
    await detectors.open_store(levels=(3600,))
    workers = [await start_at_its_own_address(detectors) for _ in range(2)]
    carts = [f"cart-{number}" for number in range(12)]
    await detectors.tell(*(activity("lines_added", cart, now_ms(), ("lamp", 1)) for cart in carts))

    async def shown_by(worker: Process) -> bool:
        try:
            for cart in carts:
                await run(detectors.env, show, "store", cart, "--url", f"http://127.0.0.1:{worker.port}")
        except CommandError:
            return False
        return True

    for worker in workers:
        await eventually(partial(shown_by, worker), within_s=60)
    paths = [f"http://127.0.0.1:{workers[0].port}/api/v1/carts/store/{cart}" for cart in carts]
    headers = {"Authorization": f"Bearer {detectors.env['OPERATOR_TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers) as client:
        answers = {(await client.get(path)).status_code for path in paths}
    assert answers == {200, 307}, "each of the two has some of the carts"


async def start_at_its_own_address(detectors: Detectors) -> Process:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = await detectors.start(PORT=str(port), ABANDONMENT_URL=f"http://127.0.0.1:{port}")
    worker.port = port
    await eventually(worker.ready, within_s=60)
    return worker


async def test_a_recording_holds_what_arrived_in_a_span_for_one_store_and_is_not_overwritten(
    detectors: Detectors, tmp_path: Path
) -> None:
    await detectors.open_store()
    await detectors.tell(
        activity("product_viewed", "early", now_ms()), activity("product_viewed", "c", 5, store_id="x")
    )
    [*_, last] = sorted(await detectors.stored(detectors.topics["cart.activity"]), key=lambda one: one.timestamp)
    await eventually(lambda: after(last.timestamp))
    middle = now_ms()
    await eventually(lambda: after(middle))
    await detectors.tell(activity("product_viewed", "late", now_ms()))
    await detectors.raw.send_and_wait(detectors.topics["cart.activity"].full_name, key=b"store:late", value=b"bad")

    def carts_in(file: Path) -> set[str]:
        recorded = [json.loads(line) for line in file.read_text().splitlines()]
        assert recorded[0]["type"] == "Recording"
        return {one["cart_id"] for one in recorded if one["type"] == "CartActivity"}

    moment = datetime.fromtimestamp(middle / 1000, UTC).isoformat()
    whole, early, late = (tmp_path / f"{name}.jsonl" for name in ("whole", "early", "late"))
    said = await run(detectors.env, record, whole, "--store", "store")
    assert "1 records could not be read and are left out" in said
    await run(detectors.env, record, early, "--to", moment)
    await run(detectors.env, record, late, "--from", moment)
    assert (carts_in(whole), carts_in(early), carts_in(late)) == ({"early", "late"}, {"early", "c"}, {"late"})
    with pytest.raises(CommandError, match="is there already"):
        await run(detectors.env, record, whole)
    with pytest.raises(CommandError, match="there is no store 'nobody'"):
        await run(detectors.env, record, whole, "--store", "nobody", "--force")
    assert carts_in(whole) == {"early", "late"}


async def after(at: int) -> bool:
    """The clock has gone on."""
    return now_ms() > at + 5
