"""Waiting for what other processes do, without a fixed sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T | None]], within_s: float = 40) -> T:
    """The first truthy answer; fails after the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := await condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within_s:g} s")
        await asyncio.sleep(0.05)
