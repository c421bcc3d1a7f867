"""Memory that goes back to the system. Rows and facts of all sizes leave holes in the C library's heap, which it keeps for
itself: with a million carts that are left and resumed, 117 of the process' 776 MiB after eight million events.
"""

from __future__ import annotations

import asyncio
import ctypes

EVERY_S = 15.0
"""It takes some milliseconds, beside the event loop."""


async def giving_back() -> None:
    """Until cancelled. Does nothing with a C library that has no malloc_trim: it is glibc's own."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _left: 0)
    while True:
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(trim, 0)
