"""Who asks Valkey when, and whose word counts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.domain.people import Identity
from services.ingest.domain.remembering import Sighting
from services.ingest.identity import map as map_module
from services.ingest.identity.map import IdentityMap
from services.ingest.identity.memory import BELIEVED_S, FRESH_S
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey
from tests.eventually import eventually


class Empty:
    """A Valkey that knows nobody and forgets what it is told; it says what it was asked, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.told = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, _purpose: str, question: Callable[[Any], Awaitable[str]]) -> str:
        return await question(self)

    async def eval(self, _script: str, _keys: int, _space: str, *given: Any) -> str:
        if len(given) > 2:
            self.told.set()
            return ""
        names = given[0].split("\n")
        self.asked.append(set(names))
        if given[0] == OURS:
            await self.may_answer.wait()
        return "0" + "\n" * len(names)


OURS = "anonymous:v1:ours"


@pytest.fixture
def valkey() -> Empty:
    return Empty()


@pytest.fixture
def identities(valkey: Empty) -> IdentityMap:
    return IdentityMap(cast(Valkey, valkey), IngestMetrics(CollectorRegistry()))


async def test_all_who_ask_in_one_pass_of_the_loop_share_one_question(valkey: Empty, identities: IdentityMap) -> None:
    names = [f"anonymous:v1:{number}" for number in range(30)]
    assert all(await asyncio.gather(*[identities.fetch([name]) for name in names]))
    assert valkey.asked == [set(names)]


async def test_who_leaves_while_asking_takes_the_answer_from_nobody(valkey: Empty, identities: IdentityMap) -> None:
    valkey.may_answer.clear()
    leaving, staying = (asyncio.create_task(identities.fetch([OURS])) for _ in range(2))
    await until(lambda: bool(valkey.asked))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    valkey.may_answer.set()
    assert await staying


async def test_an_answer_that_a_write_overtook_is_asked_for_again(valkey: Empty, identities: IdentityMap) -> None:
    await identities.fetch([OURS])
    valkey.may_answer.clear()
    asking = asyncio.create_task(identities.fetch([OURS]))
    await until(lambda: len(valkey.asked) == 2)
    seen = Identity("anonymous", OURS, "ours"), Identity("email", "email:v1:theirs", "theirs")
    identities.note([Sighting(seen, "cart", False, 1_700_000_000_000)])
    writing = asyncio.create_task(identities.run())
    await valkey.told.wait()
    await until(lambda: not identities._unwritten)
    valkey.may_answer.set()
    assert await asking
    writing.cancel()
    assert [asked for asked in valkey.asked if asked == {OURS}] == [{OURS}] * 3


async def test_what_is_learned_in_many_passes_is_gathered_and_written_at_once(
    valkey: Empty, identities: IdentityMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_module, "GATHER_S", 3600.0)
    writing = asyncio.create_task(identities.run())
    hashes = {f"anonymous:v1:{number}" for number in range(30)}
    for one in sorted(hashes):
        identities.note([Sighting((Identity("anonymous", one, one),), "cart", False, 1_700_000_000_000)])
        await asyncio.sleep(0)
    assert not valkey.asked
    writing.cancel()
    await identities.aclose()
    assert valkey.asked == [hashes]
    assert not identities._unwritten


async def test_who_was_met_a_while_ago_is_believed_and_asked_for_anew_beside_the_answer(valkey: Empty) -> None:
    now = [100.0]
    identities = IdentityMap(cast(Valkey, valkey), IngestMetrics(CollectorRegistry()), lambda: now[0])
    shopper = (Identity("anonymous", OURS, "ours"),)
    sighting = Sighting(shopper, "cart", False, 1_700_000_000_000)
    await identities.fetch([OURS])
    identities.note([sighting])
    await identities.aclose()
    valkey.asked.clear()

    now[0] += FRESH_S - 1
    identities.note([sighting])
    await identities.aclose()
    assert not valkey.asked

    now[0] += 2
    assert identities.has(shopper)
    identities.note([sighting])
    await identities.aclose()
    assert valkey.asked == [{OURS}]
    now[0] += BELIEVED_S - 1
    assert identities.has(shopper)
    now[0] += 1
    assert not identities.has(shopper)


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds)
