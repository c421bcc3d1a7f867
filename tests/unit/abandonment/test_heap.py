"""What is free in the middle of the heap goes back to the system."""

import asyncio
import ctypes
from contextlib import suppress

import psutil
import pytest

from services.abandonment import heap
from tests.eventually import eventually

MIB = 1 << 20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
async def test_memory_that_was_let_go_between_what_is_kept_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "EVERY_S", 0.01)
    process = psutil.Process()
    rows = [bytes(3_000) for _ in range(40_000)]
    kept = rows[::100]  # Pins of a heap that cannot shrink from its end.
    del rows
    before = process.memory_info().rss
    giving = asyncio.create_task(heap.giving_back())

    async def fell() -> bool:
        return bool(process.memory_info().rss < before - 60 * MIB)

    await eventually(fell)
    giving.cancel()
    with suppress(asyncio.CancelledError):
        await giving
    assert len(kept) == 400
