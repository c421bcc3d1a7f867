"""How often Valkey is asked, however many shoppers come at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from prometheus_client import CollectorRegistry

from services.ingest.identity.map import IdentityMap
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey


class Empty:
    """A Valkey that knows nobody; it says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    async def ask(self, _purpose: str, question: Callable[[Any], Awaitable[str]]) -> str:
        return await question(self)

    async def eval(self, _script: str, _keys: int, _space: str, hashes: str, _number: str) -> str:
        names = hashes.split("\n")
        self.asked.append(set(names))
        return "0" + "\n" * len(names)


async def test_all_who_ask_in_one_pass_of_the_loop_share_one_question() -> None:
    valkey = Empty()
    identities = IdentityMap(cast(Valkey, valkey), IngestMetrics(CollectorRegistry()))
    names = [f"anonymous:v1:{number}" for number in range(30)]
    assert all(await asyncio.gather(*[identities.fetch([name]) for name in names]))
    assert valkey.asked == [set(names)]
