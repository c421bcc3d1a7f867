"""The gateway's baseline: a bare ASGI app that hands the raw body to librdkafka and answers on its ack.

No framework, no authentication, no validation: what remains is HTTP, Kafka and Python. Started by the gateway's benchmark as
`python -m tests.bench.bare_gateway PORT BOOTSTRAP TOPIC`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from confluent_kafka import Producer

_ACCEPTED = b'{"results":[{"status":"accepted"}]}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_ACCEPTED)).encode())]


class BareGateway:
    """One producer; delivery reports are polled on the loop."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
            }
        )
        self._polling: asyncio.Task[None] | None = None
        self._count = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self._count += 1
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._producer.produce(
            self._topic, body, key=str(self._count % 5000), on_delivery=lambda error, _: _settle(acked, error)
        )
        await acked
        await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ACCEPTED})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._polling = asyncio.create_task(self._poll())
                await send({"type": "lifespan.startup.complete"})
            else:
                self._producer.flush(5)
                if self._polling is not None:
                    self._polling.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(0.0005)


def _settle(acked: asyncio.Future[None], error: Any) -> None:
    if acked.done():
        return
    if error is None:
        acked.set_result(None)
    else:
        acked.set_exception(OSError(str(error)))


if __name__ == "__main__":
    port, bootstrap, topic = sys.argv[1:]
    uvicorn.run(BareGateway(bootstrap, topic), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
