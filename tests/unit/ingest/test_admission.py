"""Who is refused, and how soon they are told."""

import asyncio
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from services.ingest.api.admission import Admission
from services.ingest.domain.buckets import Limit
from services.ingest.limiter import Verdict
from services.ingest.metrics import IngestMetrics
from services.ingest.turns import Turns
from trolleybus.contracts.stores import StoreConfig, StoreKey
from trolleybus.http import Problem
from trolleybus.security import hash_key, new_key
from trolleybus.store_directory import StoreIndex


async def test_a_flood_of_refusals_is_told_at_500_a_second() -> None:
    key = new_key("secret")
    directory = StoreIndex()
    directory.add(StoreConfig(store_id="s", version=1, keys=(StoreKey(key_id="k", kind="secret", hash=hash_key(key)),)))
    admission = Admission(
        directory=directory,
        limiter=SimpleNamespace(refusal=lambda *_: Verdict(False, Limit(1, 1), retry_after_s=1)),  # type: ignore[arg-type]
        turns=Turns(each_pass=4, most_waiting=100),
        publisher=SimpleNamespace(),  # type: ignore[arg-type]
        metrics=IngestMetrics(CollectorRegistry()),
        uses=SimpleNamespace(note=lambda *_: None),
        now=lambda: 1,
    )
    request: Any = SimpleNamespace(headers={"authorization": f"Bearer {key}"}, query_params={})
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = await asyncio.gather(*[admission.caller(request, "carts") for _ in range(26)], return_exceptions=True)
    assert loop.time() - began >= 25 / 500
    assert [error.status_code for error in told if isinstance(error, Problem)] == [429] * 26
