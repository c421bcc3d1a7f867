"""An HTTP load: so many connections, each sends its next request when the answer is there, or at a rate.

Run as a program, so that it has a core of its own: `python -m tests.bench.http_load PORT CONNECTIONS WARM SECONDS PATH KEY
RATE < requests`, where RATE is requests a second over all connections (0: as fast as they are answered; else what an answer
took counts from when its request was due), and the requests are newline-separated JSON bodies. Its connections are open and
used for WARM seconds before those that count. Prints {"answers": {status: n}, "seconds": s, "p50_ms": …, "p99_ms": …,
"warm_p99_ms": …}; answers are all that were given, of the times only warm_p99_ms is of what was due before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import cycle
from typing import Any


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._due = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:  # uvloop has transports of its own
        self._transport = transport
        self._due = self._load.first()
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._load.answered(int(head[9:12]), self._due, time.perf_counter() - self._due)
        self._next()

    def _next(self) -> None:
        if self._load.over():
            self._transport.close()
            return
        now = time.perf_counter()
        self._due = self._due + self._load.interval if self._load.interval else now
        if self._due > now:
            asyncio.get_running_loop().call_later(self._due - now, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._transport.write(self._load.next_request())

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.closed()


class _Load:
    def __init__(self, requests: list[bytes], connections: int, warm_s: float, seconds: float, rate: float) -> None:
        self.interval = connections / rate if rate else 0.0
        self._phase = 0.0
        self._requests = cycle(requests)
        self.counts_from = time.perf_counter() + warm_s
        self._until = self.counts_from + seconds
        self._open = connections
        self.done = asyncio.Event()
        self.answers: Counter[int] = Counter()
        self.warm: list[float] = []
        self.latencies: list[float] = []

    def first(self) -> float:
        """When a connection begins; they are spread over an interval."""
        self._phase += self.interval * 0.618
        return time.perf_counter() + (self._phase % self.interval if self.interval else 0.0)

    def over(self) -> bool:
        return time.perf_counter() >= self._until

    def next_request(self) -> bytes:
        return next(self._requests)

    def answered(self, status: int, due: float, seconds: float) -> None:
        self.answers[status] += 1
        (self.latencies if due >= self.counts_from else self.warm).append(seconds)

    def closed(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set()


async def _run(
    port: int, connections: int, warm_s: float, seconds: float, requests: list[bytes], rate: float
) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    load = _Load(requests, connections, warm_s, seconds, rate)
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
    await asyncio.wait_for(load.done.wait(), warm_s + seconds + 30)
    return {
        "answers": dict(load.answers),
        "seconds": time.perf_counter() - started,
        "p50_ms": _quantile_ms(load.latencies, 0.5),
        "p99_ms": _quantile_ms(load.latencies, 0.99),
        "warm_p99_ms": _quantile_ms(load.warm, 0.99),
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
