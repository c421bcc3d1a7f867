"""An HTTP load: so many connections, each sends its next request when the answer is there, or at a rate.

Run as a program, so that it has a core of its own: `python -m tests.bench.http_load PORT CONNECTIONS WARM SECONDS PATH KEY
RATE < requests`, where RATE is requests a second over all connections (0: as fast as they are answered; else what an answer
took counts from when its request was due, whether or not a connection was free then), and the requests are newline-separated
JSON bodies. Its connections are open and used for WARM seconds before those that count. Prints {"answers": {status: n},
"seconds": s, "p50_ms": …, "p99_ms": …, "late_p50_ms": …}; answers are all that were given, of the times none is of what was
due in the warm seconds, and late_p50_ms is how late the load itself was with what was due (null without RATE).

It shares its core with Kafka, so it does little: it asks the kernel what is ready and reads and writes it, without an event loop.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import time
from collections import Counter, deque
from itertools import cycle

LOOKS_EACH_S = 0.00025
"""At a rate: how often it looks what has come due."""
WITHIN_S = 30
"""What is not answered by then after the end is no answer."""


class _Connection:
    """One request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self.due = 0.0
        self.fileno = self._socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._socket.sendall(request)

    def status(self) -> int | None:
        """Of the answer that is there; None while it is not whole. Raises ConnectionError where the connection was closed."""
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0):
            return None
        self._answer = b""
        return int(head[9:12])


class _Load:
    """What is due goes to a free connection, else to the next that becomes free."""

    def __init__(self, requests: list[bytes], warm_s: float, seconds: float, rate: float) -> None:
        self._requests = cycle(requests)
        self._rate = rate
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._number = 0
        self._started = time.perf_counter()
        self._counts_from = self._started + warm_s
        self._until = self._counts_from + seconds
        self.answers: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.late: list[float] = []

    def run(self, connections: list[_Connection]) -> None:
        """Until all that was due has its answer. Raises TimeoutError where that takes too long, ConnectionError where the server ends one."""
        ready = select.epoll()
        by_number = {connection.fileno: connection for connection in connections}
        for number, connection in by_number.items():
            ready.register(number, select.EPOLLIN)
            self._is_free(connection)
        timer = _timer(LOOKS_EACH_S) if self._rate else -1
        if self._rate:
            ready.register(timer, select.EPOLLIN)
        while len(self._free) < len(by_number) or self._goes_on():
            for number, _ in ready.poll(1):
                if number == timer:
                    os.read(timer, 8)
                    self._look()
                else:
                    self._heard(by_number[number])
            if time.perf_counter() > self._until + WITHIN_S:
                raise TimeoutError(f"no answer within {WITHIN_S} s")
        ready.close()

    def _goes_on(self) -> bool:
        """Whether there is more to send: at a rate also what came due while the load itself was held up."""
        return (self._next_due() if self._rate else time.perf_counter()) < self._until

    def _next_due(self) -> float:
        return self._started + self._number / self._rate

    def _heard(self, connection: _Connection) -> None:
        status = connection.status()
        if status is None:
            return
        self.answers[status] += 1
        if connection.due >= self._counts_from:
            self.latencies.append(time.perf_counter() - connection.due)
        self._is_free(connection)

    def _is_free(self, connection: _Connection) -> None:
        if self._due:
            connection.send(next(self._requests), self._due.popleft())
        elif not self._rate and (now := time.perf_counter()) < self._until:
            connection.send(next(self._requests), now)
        else:
            self._free.append(connection)

    def _look(self) -> None:
        """Sends what has come due."""
        now = time.perf_counter()
        until = min(now, self._until)
        while (due := self._next_due()) < until:
            self._number += 1
            self.late.append(now - due)
            if self._free:
                self._free.popleft().send(next(self._requests), due)
            else:
                self._due.append(due)


def _timer(each_s: float) -> int:
    """A descriptor that is readable so often: the kernel's timer (timerfd_create(2), which Python has since 3.13)."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC))
    each = divmod(round(each_s * 1e9), 10**9)
    if timer < 0 or libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(*each, *each), None):
        raise OSError(ctypes.get_errno(), "no timer of the kernel's")
    return timer


def _quantile_ms(seconds: list[float], of: float) -> float | None:
    return 1000 * sorted(seconds)[int(len(seconds) * of)] if seconds else None


def main() -> None:
    """As the module's text says."""
    port, count, warm_s, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    path, key, rate = sys.argv[5], sys.argv[6], float(sys.argv[7])
    requests = []
    for line in sys.stdin.buffer.read().splitlines():
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(line)}\r\n\r\n"
        )
        requests.append(head.encode() + line)
    connections = [_Connection(port) for _ in range(count)]
    started = time.perf_counter()
    load = _Load(requests, warm_s, seconds, rate)
    load.run(connections)
    took = time.perf_counter() - started
    print(
        json.dumps(
            {
                "answers": dict(load.answers),
                "seconds": took,
                "p50_ms": _quantile_ms(load.latencies, 0.5),
                "p99_ms": _quantile_ms(load.latencies, 0.99),
                "late_p50_ms": _quantile_ms(load.late, 0.5),
            }
        )
    )


if __name__ == "__main__":
    main()
