"""Stores take turns."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.room import Room
from services.ingest.turns import Crowded, Turns


async def mine(turns: Turns, store_id: str, work: int = 1) -> None:
    """Returns when it is the store's turn."""
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turns.call(store_id, work, wake, turn)
    await turn


def wake(turns: list[asyncio.Future[None]]) -> None:
    for turn in turns:
        if not turn.done():
            turn.set_result(None)


async def worked(turns: Turns, store_id: str, story: list[str]) -> None:
    await mine(turns, store_id)
    story.append(store_id)


async def test_a_quiet_stores_request_waits_for_no_more_than_one_turn_of_a_flood() -> None:
    turns = Turns(each_pass=1, most_waiting=10_000)
    story: list[str] = []
    flood = [asyncio.create_task(worked(turns, "flood", story)) for _ in range(1000)]
    await asyncio.gather(*flood[:10])
    quiet = [asyncio.create_task(worked(turns, name, story)) for name in ("quiet", "calm")]
    await asyncio.gather(*quiet)
    assert len(story) < 25
    await asyncio.gather(*flood)
    assert story.count("flood") == 1000


async def test_without_a_crowd_nobody_waits() -> None:
    turns = Turns(each_pass=2, most_waiting=10)
    assert turns.now()
    assert turns.now()
    assert not turns.now()
    await mine(turns, "a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert turns.now()


async def test_long_work_of_one_store_does_not_go_before_the_short_work_of_another() -> None:
    turns = Turns(each_pass=8, most_waiting=10_000)
    done: list[str] = []

    async def batch() -> None:
        for _ in range(10):
            await mine(turns, "flood", 10)
            done.append("flood")

    flood = [asyncio.create_task(batch()) for _ in range(20)]
    await flood[0]
    before = len(done)
    await asyncio.gather(*(worked(turns, "quiet", done) for _ in range(3)))
    assert done[before:].count("flood") <= 8
    await asyncio.gather(*flood)


async def test_what_waits_for_the_same_takes_one_turn_together_but_no_more_than_half_a_pass() -> None:
    turns = Turns(each_pass=8, most_waiting=100)
    story: list[list[object]] = []

    def other(things: list[object]) -> None:
        story.append(["other", *things])

    for number in range(6):
        turns.call("flood", 1, story.append, number)
    turns.call("flood", 3, story.append, "long")
    turns.call("quiet", 1, story.append, "quiet")
    turns.call("flood", 1, other, "another")
    assert not story
    for _ in range(4):
        await asyncio.sleep(0)
    assert story == [[0, 1, 2, 3], ["quiet"], [4, 5], ["long"], ["other", "another"]]


async def test_one_store_cannot_fill_the_queue() -> None:
    turns = Turns(each_pass=1, most_waiting=10)
    assert turns.now()
    story: list[str] = []
    flood = [asyncio.create_task(worked(turns, "flood", story)) for _ in range(20)]
    await asyncio.sleep(0)
    other = asyncio.create_task(worked(turns, "quiet", story))
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    await other
    assert 5 <= sum(isinstance(one, Crowded) for one in outcomes) < 20
    assert "quiet" in story


async def test_who_left_while_waiting_keeps_nobody_from_a_turn() -> None:
    turns = Turns(each_pass=1, most_waiting=20)
    story: list[str] = []
    first, leaving, staying = (asyncio.create_task(worked(turns, "a", story)) for _ in range(3))
    await first
    leaving.cancel()
    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert story == ["a", "a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60)), max_size=40))
def test_no_store_holds_more_than_is_left_for_others(wishes: list[tuple[str, int]]) -> None:
    room = Room(100)
    room.take("a", 1)
    held = {"a": 1, "b": 0, "c": 0}
    for store_id, amount in wishes:
        if room.fits(store_id, amount):
            room.take(store_id, amount)
            held[store_id] += amount
            assert held[store_id] <= 100 - room.total
    for store_id, amount in held.items():
        room.give_back(store_id, amount)
    assert room.total == 0
    assert room.fits("a", 1_000)
