"""The gateway's baseline: a bare ASGI app that hands the raw body to librdkafka and answers on its ack.

No framework, no authentication, no validation: what remains is HTTP, Kafka and Python. Of a batch it makes one record an
event. Started by the gateway's benchmark as `python -m tests.bench.bare_gateway PORT BOOTSTRAP TOPIC`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
import uvicorn
from confluent_kafka import Producer

LOOK_S = 0.001
_ACCEPTED = b'{"results":[{"status":"accepted"}]}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_ACCEPTED)).encode())]


class _Delivery:
    """Records of one request; librdkafka calls it for each."""

    __slots__ = ("done", "left")

    def __init__(self, records: int, done: asyncio.Future[None]) -> None:
        self.left = records
        self.done = done

    def __call__(self, error: object, _message: object) -> None:
        self.left -= 1
        if error is not None and not self.done.done():
            self.done.set_exception(OSError(str(error)))
        elif not self.left and not self.done.done():
            self.done.set_result(None)


class BareGateway:
    """One producer; delivery reports are fetched on the loop each millisecond."""

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
        self._count = 0
        self._stopped = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        bodies = [orjson.dumps(one) for one in orjson.loads(body)["events"]] if body[:10] == b'{"events":' else [body]
        done = asyncio.get_running_loop().create_future()
        delivery = _Delivery(len(bodies), done)
        for one in bodies:
            self._count += 1
            self._producer.produce(self._topic, one, str(self._count % 5000), on_delivery=delivery)
        await done
        await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ACCEPTED})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        self._look()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._stopped = True
        self._producer.flush(5)
        await send({"type": "lifespan.shutdown.complete"})

    def _look(self) -> None:
        self._producer.poll(0)
        if not self._stopped:
            asyncio.get_running_loop().call_later(LOOK_S, self._look)


if __name__ == "__main__":
    port, bootstrap, topic = sys.argv[1:]
    uvicorn.run(BareGateway(bootstrap, topic), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
