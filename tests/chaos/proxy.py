"""A TCP proxy that can be slow, narrow, silent or cut: the way of the workers to one broker."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

HOST = "127.0.0.1"
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the way is like: seconds of delay, bytes a second (0: all), silent (nothing passes), cut (no connection holds)."""

    delay: float = 0.0
    rate: float = 0.0
    silent: bool = False
    cut: bool = False


FAIR = Weather()


@dataclass
class FaultProxy:
    """Carries each connection to `target` on this host; `weather` may change at any time and holds for all connections."""

    target: int
    port: int = 0
    _weather: Weather = FAIR
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._cut_all()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def set(self, weather: Weather) -> None:
        """From now on; cutting ends what is connected."""
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()
        if weather.cut:
            self._cut_all()

    def _cut_all(self) -> None:
        for task in self._connections:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._weather.cut:
                await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # A connection that ended is what this is for.
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self.target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, back))
                both.create_task(self._pump(there, writer))
        finally:
            back.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            await self._weathered(len(data))
            sink.write(data)
            await sink.drain()
        with suppress(OSError):
            sink.write_eof()

    async def _weathered(self, size: int) -> None:
        """Returns when so many bytes may pass."""
        while self._weather.silent:
            await self._changed.wait()
        pause = self._weather.delay + (size / self._weather.rate if self._weather.rate else 0)
        if pause:
            await asyncio.sleep(pause)
