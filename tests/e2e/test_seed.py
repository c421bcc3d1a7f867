"""A store with a past: the imported history goes through the real topics, and nobody is written to for it."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.e2e.line import Line, eventually
from tests.e2e.test_whole_line import trolleybus

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

ACTIVE, ABANDONED = 20, 30


async def test_a_seeded_past_is_detected_and_shown_and_never_written_to(line: Line) -> None:
    said = await asyncio.to_thread(
        trolleybus,
        {**line.env, "TROLLEYBUS_DEV_DIR": str(line.stack_directory)},
        "seed", "--customers", "100", "--active", str(ACTIVE), "--abandoned", str(ABANDONED),
    )  # fmt: skip
    found = re.search(r"Store (\S+) has a past", said)
    assert found, said
    store_id = found.group(1)

    async def detected() -> set[str]:
        log = await line.topics(store_id)
        left = {seen.values["cart_id"] for seen in log if seen.kind == "CartAbandoned" and seen.values["imported"]}
        return left if len(left) >= ABANDONED else set()

    left = await eventually(detected, "the carts of the past are found abandoned", within_s=120, every_s=2)
    assert not any(cart.startswith("past-a") for cart in left), "carts that are being filled are not abandoned"

    headers = {"Authorization": f"Bearer {line.env['OPERATOR_TOKEN']}"}
    url = f"{line.env['ANALYTICS_URL']}/api/v1/analytics/dashboard"

    async def shown() -> bool:
        answer = await line.client.get(url, params={"store_id": store_id, "range": "last_30_days"}, headers=headers)
        dashboard = answer.json()
        return bool(dashboard["carts"]["abandoned"] >= ABANDONED and dashboard["messages"]["sent"] > 0)

    await eventually(shown, "the dashboard shows the past")
    log = await line.topics(store_id)
    assert not [seen for seen in log if seen.kind == "MessageRequested"]
