"""One cart over HTTP, and `trolleybus carts show` against real workers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner, Result

from services.abandonment.api import CartView, Elsewhere, Lookup, Restoring, carts_router, shown
from services.abandonment.commands.carts import carts
from services.abandonment.domain.state import CartState
from services.abandonment.settings import AbandonmentSettings
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, STORE, Cart, activity, line, setting
from tests.unit.library.sample_service import SECRETS
from trolleybus.cli import CommandError
from trolleybus.http import Readiness, create_app

SERVED_WITHIN_S = 10


def left(minutes: int, **more: Any) -> Cart:
    """A cart of two lamps that was left for so long."""
    cart = Cart()
    cart.hear(activity("lines_added", 0, line("lamp", quantity=2), email="shopper@example.com", step="contact", **more))
    cart.silence(minutes * MINUTE)
    return cart


def view_of(cart: Cart, clock: int) -> CartView:
    assert cart.state is not None
    return CartView(cart.state, setting(), START + clock)


def timers_of(cart: Cart) -> list[tuple[str, int]]:
    return [(timer["what"], timer["at"] - START) for timer in shown(view_of(cart, 0))["timers"]]


def test_an_open_carts_timers_are_the_levels_to_come_and_the_expiry() -> None:
    assert timers_of(left(10)) == [
        ("level", 15 * MINUTE),
        ("level", HOUR),
        ("level", DAY),
        ("expiry", 30 * DAY),
    ]
    cart = left(70)
    assert timers_of(cart) == [("level", DAY), ("expiry", 30 * DAY)]
    found = shown(view_of(cart, HOUR))
    assert [(level["level_seconds"], level["due_at"] - START) for level in found["fired"]] == [
        (900, 15 * MINUTE),
        (3600, HOUR),
    ]
    assert found["status"] == "abandoned"
    assert found["value"] == {"minor": 2000, "currency": "EUR"}
    assert found["contact_channels"] == ["email"]
    assert "shopper@example.com" not in json.dumps(found)


def test_a_cart_that_came_back_shows_the_levels_of_its_earlier_episode() -> None:
    cart = left(70)
    cart.hear(activity("product_viewed", 80 * MINUTE))
    found = shown(view_of(cart, 80 * MINUTE))
    assert found["fired"] == []
    assert [level["level_seconds"] for level in found["fired_before"]] == [900, 3600]
    assert found["timers"][0] == {"what": "level", "level_seconds": 900, "at": START + 95 * MINUTE}


def test_a_closed_cart_waits_to_be_forgotten_and_a_held_one_for_no_time() -> None:
    cart = left(70)
    cart.hear(activity("order_placed", 2 * HOUR, order_id="o-1"))
    assert timers_of(cart) == [("forgotten", 2 * HOUR + 5 * MINUTE + 2 * DAY)]
    assert shown(view_of(cart, 0))["closed_at"] == START + 2 * HOUR + 5 * MINUTE
    held = left(0, imported=True)
    assert timers_of(held) == []
    assert shown(view_of(held, 0))["waits_for_import_end"]


class Worker:
    """A process's HTTP side on a port of its own, in a thread."""

    def __init__(self, lookup: Lookup) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        settings = AbandonmentSettings.model_validate({name.lower(): value for name, value in SECRETS.items()})
        app = create_app(
            title="carts",
            settings=settings,
            readiness=Readiness(),
            registry=CollectorRegistry(),
            routers=[carts_router(settings, lookup)],
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(SERVED_WITHIN_S)
        self._socket.close()


@pytest.fixture
def owner() -> Iterator[Worker]:
    """Has the cart "a/b c" and is restoring that of "new"."""
    state = left(70).state
    assert state is not None

    def lookup(store_id: str, cart_id: str) -> CartView | Restoring | None:
        if cart_id == "new":
            return Restoring("1,200 of 5,000 rows of partition 3 are restored")
        return CartView(state, setting(), START + 90 * MINUTE) if (store_id, cart_id) == (STORE, "a/b c") else None

    worker = Worker(lookup)
    yield worker
    worker.stop()


@pytest.fixture
def other(owner: Worker) -> Iterator[Worker]:
    """Has no cart itself; nobody is known to have that of "lost"."""
    worker = Worker(lambda _, cart_id: Elsewhere("" if cart_id == "lost" else owner.url))
    yield worker
    worker.stop()


def run(url: str, cart_id: str, *more: str, token: str = SECRETS["OPERATOR_TOKEN"]) -> Result:
    env = {"OPERATOR_TOKEN": token, "COLUMNS": "200"}
    return CliRunner(env=env).invoke(carts, ["show", STORE, cart_id, "--url", url, *more])


def error_of(url: str, cart_id: str, **more: str) -> str:
    result = run(url, cart_id, **more)
    assert isinstance(result.exception, CommandError), result.output
    return str(result.exception)


def test_a_cart_is_shown_whichever_worker_is_asked(owner: Worker, other: Worker) -> None:
    for worker in (owner, other):
        found = json.loads(run(worker.url, "a/b c", "--json").stdout)
        assert found["store_id"] == STORE
        assert found["clock"] == START + 90 * MINUTE
    text = run(other.url, "a/b c").stdout
    rows = {tuple(cell.strip() for cell in row.strip("│").split("│"))[::2] for row in text.splitlines() if "│" in row}
    assert ("level 15m", "told") in rows
    assert ("level 1d", "in 22 h 30 min") in rows
    assert ("expiry", "in 29 d 22 h") in rows
    assert "20.00 EUR" in text
    assert "08:00:00Z)" in text


def test_what_keeps_a_cart_from_being_shown_is_said(owner: Worker, other: Worker) -> None:
    unknown = error_of(owner.url, "nobody's")
    assert unknown.startswith('No such cart: nothing is remembered of cart "nobody\'s"')
    assert error_of(owner.url, "new") == (
        "The cart's partition is not ready: 1,200 of 5,000 rows of partition 3 are restored: try again in some seconds"
    )
    assert "whose address is not known here" in error_of(other.url, "lost")
    assert error_of(owner.url, "a/b c", token="another").startswith("Sign in: ")
    owner.stop()
    gone = error_of(other.url, "a/b c")
    assert gone.startswith(f"the detector at {owner.url} does not answer")
    assert "is it running (`trolleybus up`)?" in gone


def test_workers_that_send_one_another_on_are_not_followed_for_ever() -> None:
    url = ""
    worker = Worker(lambda *_: Elsewhere(url))
    url = worker.url
    assert error_of(url, "round") == "the cart's partition is moving between workers: try again in some seconds"
    worker.stop()


def test_a_state_of_nothing_is_shown() -> None:
    found = shown(CartView(CartState(store_id=STORE, cart_id="new"), setting(), 0))
    assert found["status"] == "empty"
    assert found["lines"] == []
