"""An HTTP load: so many connections, each sends its next request when the answer is there, or at a rate.

Run as a program, so that it has a core of its own: `python -m tests.bench.http_load PORT CONNECTIONS WARM SECONDS PATH KEY
RATE < requests`, where RATE is requests a second over all connections (0: as fast as they are answered; else what an answer
took counts from when its request was due, whether or not a connection was free then), and the requests are newline-separated
JSON bodies. Its connections are open and used for WARM seconds before those that count. Prints {"answers": {status: n},
"seconds": s, "p50_ms": …, "p99_ms": …, "warm_p99_ms": …, "late_p50_ms": …}; answers are all that were given, of the times only
warm_p99_ms is of what was due before, and late_p50_ms is how late the load itself was with what was due (null without RATE).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from typing import Any


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._due = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:  # uvloop has transports of its own
        self._transport = transport
        self._load.free(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._load.answered(int(head[9:12]), self._due)
        self._load.free(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.closed()


class _Load:
    """What is due goes to a free connection, else to the next that becomes free."""

    def __init__(self, requests: list[bytes], connections: int, warm_s: float, seconds: float, rate: float) -> None:
        self._requests = cycle(requests)
        self._rate = rate
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._number = 0
        self._seconds = warm_s, seconds
        self._open = connections
        self.begin()
        self.done = asyncio.Event()
        self.answers: Counter[int] = Counter()
        self.warm: list[float] = []
        self.latencies: list[float] = []
        self.late: list[float] = []

    def begin(self) -> None:
        """From here the time counts."""
        warm_s, seconds = self._seconds
        self._started = time.perf_counter()
        self._counts_from = self._started + warm_s
        self._until = self._counts_from + seconds

    def tick(self) -> None:
        """Sends what has come due."""
        now = time.perf_counter()
        until = min(now, self._until)
        while (due := self._started + self._number / self._rate) < until:
            self._number += 1
            self._due.append(due)
            self.late.append(now - due)
        self._send()
        if now >= self._until and not self._due:
            while self._free:
                self._free.popleft().close()

    def free(self, connection: _Connection) -> None:
        now = time.perf_counter()
        if self._rate and (self._due or now < self._until):
            self._free.append(connection)
            self._send()
        elif now < self._until:
            connection.send(next(self._requests), now)
        else:
            connection.close()

    def answered(self, status: int, due: float) -> None:
        self.answers[status] += 1
        (self.latencies if due >= self._counts_from else self.warm).append(time.perf_counter() - due)

    def closed(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set()

    def _send(self) -> None:
        while self._due and self._free:
            self._free.popleft().send(next(self._requests), self._due.popleft())


@contextmanager
def _ticks(each_s: float, tick: Callable[[], None]) -> Iterator[None]:
    """Calls it so often. The kernel's timer (timerfd_create(2), which Python has since 3.13), since the loop's own are as
    coarse as a millisecond: they would add that to each answer, and send what is due in between at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    each = divmod(round(each_s * 1e9), 10**9)
    if timer < 0 or libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(*each, *each), None):
        raise OSError(ctypes.get_errno(), "no timer of the kernel's")

    def heard() -> None:
        os.read(timer, 8)
        tick()

    loop = asyncio.get_running_loop()
    loop.add_reader(timer, heard)
    try:
        yield
    finally:
        loop.remove_reader(timer)
        os.close(timer)


async def _run(
    port: int, connections: int, warm_s: float, seconds: float, requests: list[bytes], rate: float
) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    load = _Load(requests, connections, warm_s, seconds, rate)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
    with _ticks(1 / rate, load.tick) if rate else nullcontext():
        load.begin()
        await asyncio.wait_for(load.done.wait(), warm_s + seconds + 30)
    return {
        "answers": dict(load.answers),
        "seconds": time.perf_counter() - started,
        "p50_ms": _quantile_ms(load.latencies, 0.5),
        "p99_ms": _quantile_ms(load.latencies, 0.99),
        "warm_p99_ms": _quantile_ms(load.warm, 0.99),
        "late_p50_ms": _quantile_ms(load.late, 0.5),
    }


def _quantile_ms(seconds: list[float], of: float) -> float | None:
    return 1000 * sorted(seconds)[int(len(seconds) * of)] if seconds else None


def main() -> None:
    """As the module's text says."""
    import uvloop

    port, connections, warm_s, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    path, key, rate = sys.argv[5], sys.argv[6], float(sys.argv[7])
    requests = []
    for line in sys.stdin.buffer.read().splitlines():
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(line)}\r\n\r\n"
        )
        requests.append(head.encode() + line)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_run(port, connections, warm_s, seconds, requests, rate))))


if __name__ == "__main__":
    main()
