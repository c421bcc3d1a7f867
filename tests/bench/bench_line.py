"""line.due_to_inbox_p99_seconds: from a level's due time to the message in the inbox; memory.<service>_mib after it."""

from __future__ import annotations

import asyncio
import time

import httpx2
import psutil

from tests.bench.figures import Figure
from tests.bench.ground import Ground
from tools.demo.shop import Shop
from tools.oracles.promises import TOPICS, Tally, tally
from tools.oracles.reader import Decoder, Seen, read_all
from tools.simulator.player import Storefront
from tools.stack.parts import SERVICES
from tools.stack.stack import memory_mib

PER_SECOND = 100
SECONDS = 20
WITHIN_S = 120.0


async def measure(ground: Ground) -> list[Figure]:
    """100 carts a second are left at a steady rate; each comes due, is decided on, passes the gate and is delivered."""
    async with ground.running(*SERVICES) as services, httpx2.AsyncClient(timeout=30) as client:
        shop = Shop(ground.env, client)
        storefront = await shop.open("Bench", "EUR", holdout_share=0.0)
        await _leave_carts(client, storefront)
        wanted = PER_SECOND * SECONDS
        deadline = time.monotonic() + WITHIN_S
        while (await shop.figures()).delivered < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{(await shop.figures()).delivered} of {wanted} messages came within {WITHIN_S:g} s"
                )
            await asyncio.sleep(1)
        log = await asyncio.to_thread(_read, ground, shop.store_id)
        counted = tally(log)
        if counted.twice or counted.after_purchase:
            raise RuntimeError(f"twice: {counted.twice[:3]}, after a purchase: {counted.after_purchase[:3]}")
        return [*_latencies(log, counted), *_memory({name: services.pid(name) for name in SERVICES})]


async def _leave_carts(client: httpx2.AsyncClient, storefront: Storefront) -> None:
    """Each second one batch of carts with contact and consent; both are acknowledged before the next."""
    headers = {"Authorization": f"Bearer {storefront.secret_key}"}
    started = time.monotonic()
    for second in range(SECONDS):
        await asyncio.sleep(max(0.0, started + second - time.monotonic()))
        numbers = range(second * PER_SECOND, (second + 1) * PER_SECOND)
        customers = [
            {
                "event_id": f"customer-{number}",
                "customer_id": f"C{number}",
                "email": f"shopper-{number}@example.com",
                "consent": [{"channel": "email", "state": "granted", "by": "person", "evidence": "bench"}],
            }
            for number in numbers
        ]
        carts = [
            {
                "event": "cart_updated",
                "event_id": f"cart-{number}",
                "cart_id": f"cart-{number}",
                "customer_id": f"C{number}",
                "email": f"shopper-{number}@example.com",
                "lines": [{"product_id": "P001", "name": "Oak desk lamp", "quantity": 1, "unit_price": "24.90"}],
            }
            for number in numbers
        ]
        for path, batch in (("customers", {"customers": customers}), ("carts/track", {"events": carts})):
            answer = await client.post(f"{storefront.ingest_url}/api/v1/{path}", json=batch, headers=headers)
            if answer.status_code != 202:
                raise RuntimeError(f"the gateway answered {answer.status_code}: {answer.text[:300]}")


def _read(ground: Ground, store_id: str) -> list[Seen]:
    log = read_all(ground.env["KAFKA_BOOTSTRAP_SERVERS"], Decoder(ground.env["SCHEMA_REGISTRY_URL"]), *TOPICS)
    return [seen for seen in log if seen.values["store_id"] == store_id]


def _latencies(log: list[Seen], counted: Tally) -> list[Figure]:
    due = {
        seen.values["cart_id"]: seen.values["due_at"]
        for seen in log
        if seen.kind == "CartAbandoned" and seen.values["level"] == 1
    }
    took = sorted(
        (seen.values["occurred_at"] - due[seen.values["cart_id"]]) / 1000
        for seen in log
        if seen.kind == "MessageDelivered" and seen.values["step"] == 0
    )
    note = f"{counted.delivered} messages at {PER_SECOND} a second, through all five services on this machine's cores"
    return [
        Figure(name="line.due_to_inbox_p50_seconds", value=round(took[len(took) // 2], 3), unit="s", note=note),
        Figure(name="line.due_to_inbox_p99_seconds", value=round(took[int(len(took) * 0.99)], 3), unit="s", note=note),
    ]


def _memory(pids: dict[str, int | None]) -> list[Figure]:
    return [
        Figure(
            name=f"memory.{name}_mib",
            value=round(memory_mib(psutil.Process(pid)), 1),
            unit="MiB",
            note="proportional set size after the line's benchmark",
        )
        for name, pid in pids.items()
        if pid is not None
    ]
