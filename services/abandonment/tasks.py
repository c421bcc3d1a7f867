"""Several coroutines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def all_of(*work: Coroutine[Any, Any, None]) -> None:
    """All of it, or the first error once all have ended."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def first_failure(loops: Sequence[asyncio.Task[None]]) -> None:
    """Wait until one of them ends, and raise what it ended with."""
    done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def end_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel them and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_together(*loops: Coroutine[Any, Any, None]) -> None:
    """Run endless loops until one fails; they are cancelled in the order given, each when the one before it has ended."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
            await asyncio.wait({task})
