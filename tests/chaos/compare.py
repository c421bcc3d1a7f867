"""What the detectors told, held against the reference id by id. Shares no code with the service: librdkafka, Apache Avro's
decoder, the slow reference, and ids worked out here from what the design says of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any
from uuid import UUID, uuid5

from tools.oracles.abandonment import Fact, detect
from tools.oracles.reader import Decoder, Seen, read_all

NAMESPACE = UUID("6f1c3b0a-7a52-5d0e-9f65-3c1f5b1f8d21")
NEEDED = ("id", "store_id", "cart_id", "occurred_at", "config_version", "kind", "order_id", "marks", "imported")
LATER_MS = 600_000
SAMPLES = 20
PROCESSES = 2

Settings = dict[str, dict[int, dict[str, Any]]]  # by store and version: levels, expiry, detection_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be compared. All that is due by `until` (ms) has to be there by `deadline` (Unix s)."""

    bootstrap: str
    registry_url: str
    activity: str
    recovery: str
    partitions: tuple[int, ...]
    settings: Settings
    until: int
    deadline: float


@dataclass(slots=True)
class Findings:
    """Counts, and a few of each as sentences. Told: records, repeats included; `repeats` are the append times of repeats."""

    events: int = 0
    expected: int = 0
    told: int = 0
    missing: int = 0  # Not there for readers of committed records.
    unknown: int = 0  # There for any reader, and the reference does not know it.
    duplicates: int = 0
    duplicates_committed: int = 0
    differing: int = 0  # The right id with other contents.
    unequal_repeats: int = 0  # A repeat that is not the same fact.
    misordered: int = 0  # Carts whose facts stand in another order than they came about, or whose causes go back.
    early: int = 0  # Levels on the topic before they were due.
    repeats: list[tuple[int, int]] = field(default_factory=list)  # (partition, ms)
    samples: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def sample(self, what: str, how_many: int, text: str) -> None:
        if how_many <= SAMPLES:
            self.samples.append(f"{what}: {text}")


def compare(question: Question) -> Findings:
    """All partitions, some in each of a few processes."""
    shares = [question.partitions[number::PROCESSES] for number in range(PROCESSES)]
    questions = [
        Question(**{name: getattr(question, name) for name in Question.__slots__} | {"partitions": share})
        for share in shares
        if share
    ]
    found = Findings()
    with ProcessPoolExecutor(len(questions), mp_context=get_context("spawn")) as pool:
        for findings in pool.map(examine, questions):
            found.add(findings)
    return found


def examine(question: Question) -> Findings:
    """The given partitions."""
    found = Findings()
    facts = _Facts(question, found)
    committed = _await(question, set(facts.expected))
    told = list(_read(question, question.recovery, "read_uncommitted"))
    committed |= {(seen.partition, seen.offset) for seen in _read(question, question.recovery, "read_committed")}
    _judge(found, facts, told, committed)
    return found


class _Facts:
    """What the reference says of the log."""

    def __init__(self, question: Question, found: Findings) -> None:
        logs: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self.heard: dict[tuple[str, str], list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        for seen in _read(question, question.activity, "read_uncommitted"):
            values = seen.values
            found.events += 1
            arrival = values["received_at"] if values["imported"] else seen.at
            plain = {name: values[name] for name in NEEDED} | {"appended": seen.at}
            plain["appended"] = seen.at
            plain["lines"] = [(line["line_id"], line["quantity"]) for line in values["lines"]]
            logs[values["store_id"]].append((arrival, plain))
            self.heard[values["store_id"], values["cart_id"]].append((seen.offset, arrival, plain))
        self.known: dict[str, Fact] = {}
        self.order: dict[tuple[str, str], list[str]] = defaultdict(list)
        for store, log in logs.items():
            for fact in detect(log, question.settings[store], question.until + LATER_MS):
                id_ = fact_id(fact)
                self.known[id_] = fact
                self.order[store, fact["cart"]].append(id_)
        self.expected = {id_: fact for id_, fact in self.known.items() if _silent_until(fact) <= question.until}
        found.expected = len(self.expected)

    def story(self, store_id: str, cart_id: str) -> str:
        """The cart's records and what the reference makes of them, for whoever looks for the cause."""
        heard = "".join(
            f"\n    {offset} arrived {arrival} of {plain['occurred_at']} {plain['id']} v{plain['config_version']} {plain['kind']}"
            f" {plain['lines']}{' imported' * plain['imported']} {plain['order_id']} {plain['marks'] or ''}"
            for offset, arrival, plain in self.heard[store_id, cart_id]
        )
        return heard + "".join(f"\n    -> {self.known[id_]}" for id_ in self.order[store_id, cart_id])


def _judge(found: Findings, facts: _Facts, told: list[Seen], committed: set[tuple[int, int]]) -> None:
    found.told = len(told)
    first: dict[str, Seen] = {}
    first_committed: dict[str, Seen] = {}
    for seen in told:
        id_, fact = seen.values["id"], facts.known.get(seen.values["id"])
        where = f"{seen.kind} {id_} at {seen.partition}@{seen.offset}"
        stands = (seen.partition, seen.offset) in committed
        if fact is None and id_ not in first:
            found.unknown += 1
            found.sample(
                "unknown", found.unknown, f"{where} committed={stands} {_brief(seen.values)}{facts.story(*_cart(seen))}"
            )
        if seen.kind == "CartAbandoned" and seen.at < seen.values["due_at"]:
            found.early += 1
            found.sample("early", found.early, f"{where} by {seen.values['due_at'] - seen.at} ms")
        if id_ in first:
            found.duplicates += 1
            found.repeats.append((seen.partition, seen.at))
            if _same(first[id_].values) != _same(seen.values):
                found.unequal_repeats += 1
                found.sample(
                    "unequal repeat", found.unequal_repeats, f"{where} {_unlike(first[id_].values, seen.values)}"
                )
        elif fact is not None and (wrong := _unlike(_told(seen), _due(seen.kind, fact))):
            found.differing += 1
            found.sample("differing", found.differing, f"{where} {wrong}{facts.story(*_cart(seen))}")
        first.setdefault(id_, seen)
        if stands:
            found.duplicates_committed += id_ in first_committed
            first_committed.setdefault(id_, seen)
    for id_, fact in facts.expected.items():
        if id_ not in first_committed:
            found.missing += 1
            found.sample(
                "missing",
                found.missing,
                f"{id_} aborted={id_ in first} {fact}{facts.story(fact['store'], fact['cart'])}",
            )
    _judge_order(found, facts, first_committed)


def _judge_order(found: Findings, facts: _Facts, first: dict[str, Seen]) -> None:
    carts: dict[tuple[str, str], list[Seen]] = defaultdict(list)
    for seen in first.values():
        carts[seen.values["store_id"], seen.values["cart_id"]].append(seen)
    for cart, told in carts.items():
        ids = [seen.values["id"] for seen in told]
        present = set(ids)
        causes = [(seen.values["cause"]["offset"], seen.values["cause"]["ordinal"]) for seen in told]
        if [id_ for id_ in facts.order[cart] if id_ in present] != [
            id_ for id_ in ids if id_ in facts.known
        ] or causes != sorted(set(causes)):
            found.misordered += 1
            found.sample(
                "misordered", found.misordered, f"{cart} {[(seen.kind, seen.offset) for seen in told]} {causes}"
            )


def _await(question: Question, expected: set[str]) -> set[tuple[int, int]]:
    """Waits until all expected ids can be read by readers of committed records, or the deadline; the places of all such."""
    while True:
        places, ids = set(), set()
        for seen in _read(question, question.recovery, "read_committed", decode=False):
            places.add((seen.partition, seen.offset))
            ids.add(seen.headers.get("ce_id", ""))
        if expected <= ids or time.time() > question.deadline:
            return places
        time.sleep(2)


def _read(question: Question, topic: str, isolation: str, *, decode: bool = True) -> Iterator[Seen]:
    decoder = Decoder(question.registry_url) if decode else HeadersOnly(question.registry_url)
    return read_all(question.bootstrap, decoder, topic, partitions=question.partitions, isolation=isolation)


class HeadersOnly(Decoder):
    """Leaves the value unread."""

    def decode(self, data: bytes) -> tuple[str, dict[str, Any]]:
        return "", {}


def derived(*parts: str | int) -> str:
    """The id of what has these causes."""
    return str(uuid5(NAMESPACE, "".join(f"{len(text)}:{text}" for text in map(str, parts))))


def fact_id(fact: Fact) -> str:
    """The id under which the detector has to publish it."""
    episode = derived("episode", fact["store"], fact["cart"], fact["episode"])
    if fact["kind"] == "CartAbandoned":
        return derived("abandoned", episode, fact["level"])
    return derived("episode-end", episode, fact["kind"].removeprefix("Cart").lower(), fact.get("by", ""))


def _silent_until(fact: Fact) -> int:
    """When silence alone made it due; 0 for what a record made."""
    at: int = fact.get("due_at") or fact.get("at") or 0
    return at


def _due(kind: str, fact: Fact) -> dict[str, Any]:
    """The comparable contents of a fact of the reference."""
    due = {"kind": fact["kind"], "opened_at": fact["opened_at"]}
    if kind == "CartAbandoned":
        return due | {"due_at": fact["due_at"], "last_activity_at": fact["last"], "lines": fact["lines"]}
    if kind == "CartRecovered":
        return due | {"levels_fired": fact["levels"], "abandoned_at": fact["since"]}
    return due | ({"levels_fired": fact["levels"]} if "levels" in fact else {})


def _told(seen: Seen) -> dict[str, Any]:
    """The same of a record."""
    values = seen.values
    told = {"kind": seen.kind, "opened_at": values["opened_at"]}
    if seen.kind == "CartAbandoned":
        lines = {line["line_id"]: line["quantity"] for line in values["lines"]}
        return told | {"due_at": values["due_at"], "last_activity_at": values["last_activity_at"], "lines": lines}
    told["levels_fired"] = sorted(values["levels_fired"])
    if seen.kind == "CartRecovered":
        told["abandoned_at"] = values["abandoned_at"]
    if seen.kind == "CartResumed":
        del told["levels_fired"]
    return told


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (one.get(name), other.get(name))
        for name in {**one, **other}
        if name != "fired_at" and one.get(name) != other.get(name)
    }


def _same(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "fired_at"}


def _cart(seen: Seen) -> tuple[str, str]:
    return seen.values["store_id"], seen.values["cart_id"]


def _brief(values: dict[str, Any]) -> dict[str, Any]:
    names: Iterable[str] = ("store_id", "cart_id", "due_at", "last_activity_at", "fired_at", "level_seconds", "cause")
    return {name: values[name] for name in names if name in values}
