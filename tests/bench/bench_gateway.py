"""gateway.requests_per_second: single events with ack, one core for the gateway, the rest on the other."""

from __future__ import annotations

import json

from tests.bench.figures import Figure, compared
from tests.bench.ground import MEASURED_CORE, OTHER_CORE, Ground, answering, load, program

RUNS = 3
SECONDS = 6.0
CONNECTIONS = 48


def bodies() -> list[str]:
    """Single native events of 300 to 500 bytes over 5,000 carts."""
    return [
        json.dumps(
            {
                "event": "cart_updated",
                "event_id": f"bench-{number}",
                "cart_id": f"cart-{number % 5000}",
                "anonymous_id": f"anon-{number % 5000}",
                "session_id": f"session-{number % 5000}",
                "lines": [
                    {"product_id": "P001", "name": "Oak desk lamp", "quantity": 1 + number % 3, "unit_price": "24.90"}
                ],
            }
        )
        for number in range(20_000)
    ]


async def measure(ground: Ground) -> list[Figure]:
    """Interleaved runs of the gateway and of the bare app; ratio of each pair."""
    key = await ground.open_store("bench-gateway", (900,))
    ours: list[float] = []
    bare: list[float] = []
    events = bodies()
    bare_port = int(ground.env["ANALYTICS_URL"].rpartition(":")[2])  # A port of this stack that nothing else uses here
    gateway_port = int(ground.env["INGEST_URL"].rpartition(":")[2])
    env = {**ground.env, "RATE_LIMIT_PER_SECOND": "1000000", "RATE_LIMIT_BURST": "1000000"}
    await ground.pin_servers(OTHER_CORE)
    for _ in range(RUNS):
        for port, module, results in (
            (gateway_port, ["services.ingest"], ours),
            (
                bare_port,
                ["tests.bench.bare_gateway", str(bare_port), ground.env["KAFKA_BOOTSTRAP_SERVERS"], "cart.activity.v1"],
                bare,
            ),
        ):
            with program(
                *module, core=MEASURED_CORE, env={**env, "HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "warning"}
            ):
                await answering(f"http://127.0.0.1:{port}/readyz")
                for seconds in (1.0, SECONDS):  # The first one warms up.
                    report = load(
                        port,
                        "/api/v1/carts/track",
                        key,
                        events,
                        connections=CONNECTIONS,
                        seconds=seconds,
                        core=OTHER_CORE,
                    )
                    answers = report["answers"]
                    if set(answers) != {"202"}:
                        raise RuntimeError(f"{module[0]} answered {answers}")
                results.append(answers["202"] / report["seconds"])
    note = f"{CONNECTIONS} connections, single events with ack; baseline: tests/bench/bare_gateway.py (raw body to librdkafka)"
    return [compared("gateway.requests_per_second", ours, bare, "requests/s", note)]
