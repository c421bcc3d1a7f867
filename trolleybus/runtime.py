"""Runs a service: HTTP server, background loops, and an orderly end.

The order of the end: /readyz says no, event streams end, requests in flight finish, then the lifespan closes, which
cancels the background loops and closes connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import uvicorn
from fastapi import FastAPI

from trolleybus.avro import COMPILED
from trolleybus.readiness import Readiness
from trolleybus.settings import ServiceSettings, SettingsError
from trolleybus.telemetry import configure_logging, get_logger

logger = get_logger(__name__)

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class ServiceFailed(Exception):
    """A background loop died or the start failed; the log has said how."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a process of several has from the first: the socket, and a pipe's end that tells when that one is gone."""

    listener: socket.socket
    lifeline: int


def start(settings_class: type[SettingsT], build: Callable[[SettingsT], FastAPI]) -> NoReturn:
    """The whole of a service's __main__: settings, logging, app, run, exit code."""
    settings = settle_settings(settings_class)
    run_service(build(settings), settings)


def settle_settings(settings_class: type[SettingsT]) -> SettingsT:
    """The settings, and the logging that they want; exit code 2 where one is missing or wrong."""
    try:
        settings = settings_class.load()
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        sys.exit(2)
    configure_logging(settings.service, settings.log_level)
    return settings


def run_service(app: FastAPI, settings: ServiceSettings, inherited: Inherited | None = None) -> NoReturn:
    """Serves until SIGTERM or SIGINT (exit code 0) or until a loop dies (exit code 1)."""
    run(_until_stopped(app, settings, inherited))


def run(main: Coroutine[Any, Any, None]) -> NoReturn:
    """A process from here on: exit code 0 when it returns, 1 for ServiceFailed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(main)
        except ServiceFailed as error:
            logger.error("stopped", reason=str(error))  # noqa: TRY400 - the trace was logged where it happened
            sys.exit(1)
    sys.exit(0)


async def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serves until cancelled, without signal handlers: for a process that has a loop of its own.

    Cancelling drains first, and returns when it is done. Raises ServiceFailed when a background loop died.
    """
    stop = asyncio.Event()
    serving = asyncio.ensure_future(_serve(app, settings, stop, listen(settings.host, settings.port)))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        stop.set()
        await serving
        raise


@asynccontextmanager
async def background(readiness: Readiness, **loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs named endless loops beside the body and cancels them at its end.

    A loop that raises or returns makes the process not ready and ends it; the others run on until it has drained.
    """

    async def watched(name: str, loop: Coroutine[Any, Any, None]) -> None:
        try:
            await loop
        except Exception as error:
            logger.exception("a background loop died", loop=name)
            readiness.fail(name, f"died: {type(error).__name__}")
        else:
            logger.error("a background loop ended", loop=name)
            readiness.fail(name, "ended, though it should run for ever")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watched(name, loop), name=name) for name, loop in loops.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def spare_the_collector() -> None:
    """For processes that hold many objects for long, in no cycles: to look through them for some takes time, in long pauses."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


class _Server(uvicorn.Server):
    """Signals belong to run_service, and a failed start is an exception rather than an exit."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            raise ServiceFailed("the service could not start") from None


async def _until_stopped(app: FastAPI, settings: ServiceSettings, inherited: Inherited | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if inherited is None:
        await _serve(app, settings, stop, listen(settings.host, settings.port))
        return

    def let_go() -> None:
        loop.remove_reader(inherited.lifeline)
        stop.set()

    loop.add_reader(inherited.lifeline, let_go)  # It reads as ended when the first process is no more.
    await _serve(app, settings, stop, inherited.listener)


async def _serve(app: FastAPI, settings: ServiceSettings, stop: asyncio.Event, listener: socket.socket) -> None:
    readiness: Readiness = app.state.readiness
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=_protocol() if app.state.fast_paths is not None else "auto",
        lifespan="on",
        server_header=False,
        proxy_headers=False,  # Nothing here asks for the client's address, and links are made from settings.
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_seconds),
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    stopping = asyncio.ensure_future(stop.wait())
    failing = asyncio.ensure_future(readiness.failed.wait())
    host, port = listener.getsockname()[:2]
    logger.info("starting", url=f"http://{host}:{port}", avro="compiled" if COMPILED else "python")
    try:
        await asyncio.wait({serving, stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        readiness.draining.set()
        if stop.is_set() and not server.started:
            logger.info("stopped", reason="asked to stop before the start was done")
            serving.cancel()
            await asyncio.wait({serving})
            return
        if not serving.done():
            logger.info("draining", reason="a loop died" if readiness.failed.is_set() else "asked to stop")
            if not readiness.failed.is_set():
                await asyncio.sleep(settings.drain_notice_seconds)  # load balancers read /readyz meanwhile
            server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        failing.cancel()
        listener.close()
    if readiness.failed.is_set():
        raise ServiceFailed("a background loop died")
    logger.info("stopped")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises ServiceFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ServiceFailed(
            f"cannot listen on {host} port {port} ({os.strerror(error.errno or 0)}): set HOST or PORT"
        ) from None


def _protocol() -> type[asyncio.Protocol]:
    from trolleybus.http.protocol import FastProtocol  # noqa: PLC0415 - httptools is in some services' extras only

    return FastProtocol


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where a service's extra installs it."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
