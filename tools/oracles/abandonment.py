"""What the detector must publish, worked out the slow and plain way: the whole log, cart by cart, nothing remembered
but the records heard. It shares no code with the service.

A log is a list of (arrival, record), a record a dict with the fields of CartActivity that are used here, and settings
are dicts {"levels", "expiry", "detection_from"} by config_version. Times are milliseconds, levels and expiry seconds.
An imported record arrives when it says, and tells in "appended" when the log took it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
Fact = dict[str, Any]

ORDER_SHADOW = 5 * 60_000
LATENESS = 24 * 3_600_000
CONTENTS = ("snapshot", "lines_set", "lines_added", "lines_removed", "cart_emptied")


def detect(log: Iterable[tuple[int, Record]], settings: Mapping[int, Record], until: int) -> list[Fact]:
    """Every fact in the order of each cart, silence until `until` included."""
    carts: dict[tuple[str, str], _Cart] = {}
    for arrival, record in log:
        if record["cart_id"] and not {"bot", "incomplete"} & set(record["marks"]):
            key = record["store_id"], record["cart_id"]
            carts.setdefault(key, _Cart(key, settings)).hear(arrival, record)
    for cart in carts.values():
        if not cart.held:
            cart.silence(until)
    return [fact for cart in carts.values() for fact in cart.facts]


class _Cart:
    def __init__(self, key: tuple[str, str], settings: Mapping[int, Record]) -> None:
        self.key, self.settings, self.facts = key, settings, list[Fact]()
        self.held = False
        self.forget()

    def forget(self) -> None:
        self.heard: list[tuple[int, Record]] = []  # (event time, record)
        self.open = False
        self.episode, self.opened_at = "", 0
        self.fired: list[tuple[int, int, str]] = []  # (due, seconds, episode) of this episode
        self.earlier: list[tuple[int, int, str]] = []  # of earlier episodes since the cart was opened
        self.answered = 0
        self.shadow = self.closed_at = self.arrival = self.version = 0

    def contents(self) -> dict[str, tuple[int, int]]:
        """Quantity and oldest time by line: every record of contents newer than the shadow, played in event time."""
        lines: dict[str, tuple[int, int]] = {}
        for at, record in sorted(self.heard, key=lambda pair: (pair[0], pair[1]["id"])):
            if at <= self.shadow or record["kind"] not in CONTENTS:
                continue
            if record["kind"] in ("snapshot", "cart_emptied"):
                lines = {}
            if record["kind"] == "cart_emptied":
                continue
            for line, quantity in record["lines"]:
                if record["kind"] == "lines_removed":
                    lines[line] = (0, 0)
                elif record["kind"] == "lines_added":
                    before, since = lines.get(line, (0, 0))
                    lines[line] = (before + quantity, (since or at) if quantity > 0 else since)
                else:
                    lines[line] = (quantity, at if quantity > 0 else 0)
        return {line: held for line, held in lines.items() if held[0] > 0}

    def silence(self, until: int) -> None:
        """What falls due by then, in order."""
        while self.heard:
            setting = self.settings[self.version]
            if not self.open:
                if until >= max(self.arrival, self.closed_at) + max(setting["levels"]) * 1000 + LATENESS:
                    self.forget()
                return
            last = max(at for at, record in self.heard if record["counts"])
            reached = max((seconds for _, seconds, _ in self.fired), default=0)
            expiry = last + setting["expiry"] * 1000
            coming = [(last + seconds * 1000, seconds) for seconds in sorted(setting["levels"]) if seconds > reached]
            coming = [due for due in coming if setting["detection_from"] <= due[0] < expiry]
            due, seconds = coming[0] if coming else (expiry, 0)
            if due > until:
                return
            if seconds:
                lines = {line: quantity for line, (quantity, _) in self.contents().items()}
                self.publish("CartAbandoned", self.episode, level=seconds, due_at=due, last=last, lines=lines)
                self.fired.append((due, seconds, self.episode))
            else:
                self.publish("CartExpired", self.episode, levels=self.levels(), at=due)
                self.open, self.closed_at, self.shadow = False, due, max(self.shadow, last)

    def hear(self, arrival: int, record: Record) -> None:
        if record["imported"] and self.heard and not self.held:
            # History of a cart that lives: it has been silent until the record was appended.
            self.silence(record["appended"])
            arrival = record["appended"] if self.heard else arrival
        self.silence(arrival)
        if any(record["id"] == known["id"] for _, known in self.heard):
            return
        if record["kind"] == "import_ended":
            self.held = False
            return
        if not record["imported"]:
            self.held = False
        elif not self.heard:
            self.held = True
        at = min(record["occurred_at"], arrival)
        is_order = record["kind"] == "order_placed"
        known_orders = {known["order_id"] for _, known in self.heard if known["order_id"]}
        counts = not is_order and at > self.shadow
        self.heard.append((at, {**record, "counts": counts}))
        self.arrival = max(self.arrival, arrival)
        self.version = max(self.version, record["config_version"])
        if counts:
            self.act(at, record)
        elif is_order and record["order_id"] not in known_orders:
            self.order(at, record)

    def act(self, at: int, record: Record) -> None:
        items = self.contents()
        if items and not self.open and record["kind"] in CONTENTS:
            self.open, self.episode = True, record["id"]
            self.fired, self.earlier, self.answered = [], [], 0
            self.opened_at = min(since for _, since in items.values())
        elif not items and self.open:
            self.publish("CartCleared", self.episode, by=record["id"], levels=self.levels())
            self.open, self.closed_at = False, at
        elif self.open:
            if record["kind"] in CONTENTS:
                self.opened_at = min(self.opened_at, *(since for _, since in items.values()))
            if self.fired and at > self.fired[-1][0]:
                self.earlier, self.fired = self.since_opened(), []
                self.publish("CartResumed", self.episode, by=record["id"])
                self.episode = record["id"]

    def order(self, at: int, record: Record) -> None:
        self.shadow = max(self.shadow, at + ORDER_SHADOW)
        items, fired = self.contents(), self.since_opened()
        if self.open and items:  # Late: what is newer than the order stays in the cart.
            fired = [level for level in fired if level[0] <= at]
            self.answered = max(self.answered, at)
        elif at + ORDER_SHADOW < self.opened_at:
            fired = []  # Of an earlier purchase.
        if fired:
            self.publish(
                "CartRecovered",
                fired[-1][2],
                by=record["id"],
                levels=sorted({level[1] for level in fired}),
                since=min(level[0] for level in fired),
            )
        if self.open and items:
            if self.opened_at <= self.shadow:
                self.opened_at = min(since for _, since in items.values())
        elif self.open or fired:
            self.open, self.closed_at = False, at + ORDER_SHADOW
            self.fired, self.earlier = [], []

    def since_opened(self) -> list[tuple[int, int, str]]:
        return [level for level in self.earlier + self.fired if level[0] > self.answered]

    def levels(self) -> list[int]:
        return sorted({seconds for _, seconds, _ in self.since_opened()})

    def publish(self, kind: str, episode: str, **more: Any) -> None:
        """`episode` is the id of the record that opened it."""
        self.facts.append(
            {
                "kind": kind,
                "store": self.key[0],
                "cart": self.key[1],
                "episode": episode,
                "opened_at": self.opened_at,
                **more,
            }
        )
