"""replay.events_per_second: `trolleybus replay` over a recorded file of the detector's mix, its start included."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from uuid import UUID

from services.abandonment.rehearsal.recording import record_line, settings_line
from tests.bench.detector.mix import SHOPPING, Event, kinds
from tests.bench.detector.sizes import RUNS, events
from tests.bench.figures import Figure
from tests.bench.ground import Ground
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money
from trolleybus.contracts.stores import StoreConfig

STORE = "bench"
PUBLISHED = 1_000_000
PARTITIONS = 12
STARTED_AT = 1_700_000_000_000
AT_ONCE = 50
MONTH_MS = 30 * 86_400_000


async def measure(_: Ground) -> AsyncIterator[Figure]:
    """Needs no server: a month of one store, in a file as `trolleybus record` writes it."""
    count = events(PUBLISHED)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "month.jsonl"
        with file.open("wb") as sink:
            sink.writelines(_lines(count))
        size = file.stat().st_size
        seconds, facts = [], 0
        before = os.times()
        for _run in range(RUNS):
            took, facts = await _replay(file)
            seconds.append(took)
        used = os.times().children_user - before.children_user
    yield Figure(
        name="replay.events_per_second",
        value=round(count / median(seconds), 1),
        unit="1/s",
        note=f"{count:,} records of {size // count} bytes, {facts:,} facts, {median(seconds):.1f} s, "
        f"{used / RUNS:.1f} s of one core",
    )


async def _replay(file: Path) -> tuple[float, int]:
    began = time.monotonic()
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from trolleybus.cli import main; main()", "replay", str(file), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await command.communicate()
    took = time.monotonic() - began
    outcome = json.loads(output)
    if outcome["rejects"]:
        raise RuntimeError(f"lines were not used: {outcome['rejects']}")
    return took, sum(row["count"] for row in outcome["facts"])


def _lines(count: int) -> Iterator[bytes]:
    """One record a line, at a steady rate over a month."""
    yield settings_line(StoreConfig(store_id=STORE, version=1, currency="EUR", levels=(900, 3600, 86400)))
    random = Random(1)
    forms = {kind: _form(kind) for kind in SHOPPING}
    for number, (kind, cart) in enumerate(_visits(random, count)):
        at = STARTED_AT + number * MONTH_MS // PUBLISHED
        record = replace(
            forms[kind],
            id=str(UUID(int=random.getrandbits(128))),
            cart_id=f"cart-{cart:08d}",
            anonymous_id=f"visitor-{cart:08d}",
            occurred_at=at,
            received_at=at,
        )
        yield record_line(record, cart % PARTITIONS, number, at)


def _visits(random: Random, count: int) -> Iterator[Event]:
    """The published mix; each cart has some events within half an hour or so, and then is left."""
    begun, left = AT_ONCE, [[cart, random.randint(4, 12)] for cart in range(AT_ONCE)]
    for _, kind in zip(range(count), kinds(random, SHOPPING), strict=False):
        visit = random.choice(left)
        yield kind, visit[0]
        visit[1] -= 1
        if not visit[1]:
            visit[:] = begun, random.randint(4, 12)
            begun += 1


def _form(kind: str) -> CartActivity:
    lines = tuple(
        CartLine(
            line_id=f"P{number:03}",
            product_id=f"P{number:03}",
            name=f"Oak desk lamp {number}",
            quantity=1,
            unit_price=Money(minor=2490, currency="EUR"),
            url=f"https://shop.example/p/{number}",
        )
        for number in range({"snapshot": 3}.get(kind, 1))
    )
    return CartActivity(
        store_id=STORE,
        source="web",
        config_version=1,
        kind=kind,
        identities=("anonymous:v1:0123456789abcdef0123456789abcdef",),
        device="mobile",
        currency="EUR",
        lines=lines if kind.startswith(("lines_", "snapshot")) else (),
        step="shipping" if kind == "checkout_step" else "",
        product_id="P001" if kind == "product_viewed" else "",
        order_id="order" if kind == "order_placed" else "",
        total=Money(minor=2490, currency="EUR") if kind == "order_placed" else Money(),
        locale="es-ES",
        country="ES",
    )
