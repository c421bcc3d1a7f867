"""detector.events_per_second: the whole service over a log that is there already, against reading and decoding it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from random import Random

from tests.bench.figures import Figure, compared
from tests.bench.ground import MEASURED_CORE, OTHER_CORE, Ground, answering, metric, program
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.money import Money

EVENTS = 40_000
CARTS = 4_000
RUNS = 3
WITHIN_S = 180
HANDLED = "detector_records_total"


def mix(random: Random, store_id: str, now_ms: int) -> list[CartActivity]:
    """A third views, a third item changes of 1 to 3 lines, the rest checkout steps, snapshots and orders."""
    records = []
    for number in range(EVENTS):
        cart = random.randrange(CARTS)
        chance = random.random()
        kind = (
            "product_viewed"
            if chance < 1 / 3
            else "lines_added"
            if chance < 2 / 3
            else random.choice(["checkout_step", "snapshot", "snapshot", "order_placed"])
        )
        lines = tuple(_line(random) for _ in range(random.randint(1, 3))) if kind in ("lines_added", "snapshot") else ()
        records.append(
            CartActivity(
                id=f"{number:08}-bench", store_id=store_id, occurred_at=now_ms, received_at=now_ms, source="bench",
                config_version=1, kind=kind, cart_id=f"cart-{cart}", customer_id=f"customer-{cart}", currency="EUR", lines=lines,
                step="shipping" if kind == "checkout_step" else "", order_id=f"order-{number}" if kind == "order_placed" else "",
            )
        )  # fmt: skip
    return records


def _line(random: Random) -> CartLine:
    product = f"P{random.randrange(200):03}"
    return CartLine(
        line_id=product,
        product_id=product,
        name="Oak desk lamp",
        quantity=1,
        unit_price=Money(minor=2490, currency="EUR"),
    )


async def measure(ground: Ground) -> list[Figure]:
    """Each run adds as many events to the log while the detector is down, then starts it."""
    ours: list[float] = []
    bare: list[float] = []
    for run in range(RUNS):
        store_id = f"bench-detector-{run}"
        await ground.open_store(store_id, (900, 3600, 86_400))
        async with ground.writer() as producer:
            records = mix(Random(run), store_id, time.time_ns() // 1_000_000)
            for start in range(0, EVENTS, 2_000):
                await producer.send(*records[start : start + 2_000])
        await ground.pin_servers(OTHER_CORE)
        ours.append(await _detect(ground))
        done = await asyncio.to_thread(
            subprocess.run,
            ["taskset", "-c", str(MEASURED_CORE), sys.executable, "-m", "tests.bench.bare_detector",
             ground.env["KAFKA_BOOTSTRAP_SERVERS"], ground.env["SCHEMA_REGISTRY_URL"], "cart.activity.v1"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        bare.append(float(done.stdout))
    note = f"{EVENTS} events of {CARTS} carts on 12 partitions; baseline: tests/bench/bare_detector.py (aiokafka and fastavro, no state)"
    return [compared("detector.events_per_second", ours, bare, "events/s", note)]


async def _detect(ground: Ground) -> float:
    """Events a second, from the first handled to the last."""
    url = ground.env["ABANDONMENT_URL"]
    port = url.rpartition(":")[2]
    env = {**ground.env, "HOST": "127.0.0.1", "PORT": port, "LOG_LEVEL": "warning"}
    with program("services.abandonment", core=MEASURED_CORE, env=env):
        await answering(f"{url}/livez")
        first, first_at = 0.0, 0.0
        async with asyncio.timeout(WITHIN_S):
            while True:
                handled = await asyncio.to_thread(metric, f"{url}/metrics", HANDLED)
                now = time.perf_counter()
                if handled and not first:
                    first, first_at = handled, now
                if handled >= EVENTS:
                    return (handled - first) / (now - first_at)
                await asyncio.sleep(0.1)
