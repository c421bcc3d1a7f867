"""When a partition reads no more until it has written. What it would read and write is not asked for here."""

from __future__ import annotations

from typing import Any, cast

from services.abandonment.partition import FULL, FULL_BYTES, GATHER_MS, Partition
from services.abandonment.shard import Shard
from trolleybus.contracts.recovery import CartAbandoned

NOTHING = cast(Any, None)


def partition(facts: int) -> Partition:
    shard = Shard(0, NOTHING, NOTHING, NOTHING)
    shard.effects = [CartAbandoned(id=str(number), store_id="s", occurred_at=1) for number in range(facts)]
    return Partition(shard, NOTHING, NOTHING, NOTHING, NOTHING, margin_ms=0)


def test_facts_that_wait_to_be_written_count_as_carts_do() -> None:
    assert partition(FULL).is_full
    assert not partition(FULL - 1).is_full


def test_what_is_full_is_written_at_once() -> None:
    full, other = partition(FULL), partition(FULL - 1)
    for one in (full, other):
        one.consider(one._written_at + GATHER_MS - 1)
    assert full._due.is_set()
    assert not other._due.is_set()


def test_large_rows_make_it_full_before_many_carts_do() -> None:
    one = partition(0)
    one.shard.changed_bytes = FULL_BYTES
    assert one.is_full
    one.shard.changed_bytes -= 1
    assert not one.is_full
