"""The fact tables, and how what several records tell of one row is joined.

Each column joins by an operation that is commutative, associative and idempotent. So the tables are the same in whatever
order the topics are read and however often a record comes again; replaying the log beside them gives them anew.
The SQL in store/facts.py is made from these declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


class Join(Enum):
    """How two values of a column become one. None is the value that says nothing."""

    FIRST = "the least"
    LAST = "the greatest"
    ANY = "true once true"
    UNION = "all members of both, in order"
    TOLD = "that of the row whose `told` is greater"


@dataclass(frozen=True, slots=True)
class Table:
    """A fact table: the columns of its key, and the join of each other column."""

    name: str
    key: tuple[str, ...]
    joins: Mapping[str, Join]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, *self.joins)

    def key_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def row(self, **values: Any) -> Row:
        """A whole row; what is not given says nothing."""
        unknown = values.keys() - set(self.columns)
        if unknown:
            raise KeyError(f"{self.name} has no column {', '.join(sorted(unknown))}")
        return {name: values[name] for name in self.key} | {
            name: values.get(name, _NOTHING.get(join)) for name, join in self.joins.items()
        }

    def join(self, one: Row, other: Row) -> Row:
        """What both rows tell of one key."""
        newer = other if (other.get("told") or "") > (one.get("told") or "") else one
        joined = {name: one[name] for name in self.key}
        for name, join in self.joins.items():
            joined[name] = newer[name] if join is Join.TOLD else _joined(join, one[name], other[name])
        return joined


_NOTHING: dict[Join, Any] = {Join.ANY: False, Join.UNION: []}


def _joined(join: Join, one: Any, other: Any) -> Any:
    if join is Join.ANY:
        return one or other
    if join is Join.UNION:
        return sorted({*one, *other})
    if one is None or other is None:
        return one if other is None else other
    return min(one, other) if join is Join.FIRST else max(one, other)


def _table(name: str, key: str, **joins: Join) -> Table:
    """`appended_at` is when Kafka took the first record of the row: what is older than the log cannot be made anew."""
    return Table(name, ("store_id", *key.split()), {**joins, "appended_at": Join.FIRST})


CARTS = _table(
    "carts",
    "cart_id",
    first_seen_at=Join.FIRST,
    first_item_at=Join.FIRST,
    last_item_at=Join.LAST,
    last_activity_at=Join.LAST,
    emptied_at=Join.LAST,
    ordered_at=Join.LAST,
    expired_at=Join.LAST,
    abandoned_at=Join.FIRST,
    recovered_at=Join.LAST,
    levels=Join.UNION,
    contact_known=Join.ANY,
    imported=Join.ANY,
    bot_seen_at=Join.FIRST,
    incomplete_seen_at=Join.FIRST,
)
ABANDONMENTS = _table(
    "abandonments",
    "episode_id level_seconds",
    cart_id=Join.LAST,
    due_at=Join.FIRST,
    opened_at=Join.FIRST,
    value_minor=Join.LAST,
    currency=Join.LAST,
    contact_known=Join.ANY,
)
RECOVERIES = _table(
    "recoveries",
    "id",
    cart_id=Join.LAST,
    episode_id=Join.LAST,
    order_id=Join.LAST,
    abandoned_at=Join.FIRST,
    recovered_at=Join.FIRST,
    total_minor=Join.LAST,
    currency=Join.LAST,
)
TURNS = _table("turns", "id", cart_id=Join.LAST, episode_id=Join.LAST, kind=Join.LAST, at=Join.FIRST)
JOURNEYS = _table(
    "journeys",
    "journey_id",
    campaign_id=Join.LAST,
    cart_id=Join.LAST,
    episode_id=Join.LAST,
    entered_at=Join.FIRST,
    treated=Join.ANY,
    held_out=Join.ANY,
    exited_at=Join.FIRST,
    exit_reason=Join.LAST,
    currency=Join.LAST,
    identities=Join.UNION,
)
SKIPS = _table("skips", "id", cart_id=Join.LAST, campaign_id=Join.LAST, rule=Join.LAST, at=Join.FIRST)
MESSAGES = _table(
    "messages",
    "message_id",
    journey_id=Join.LAST,
    campaign_id=Join.LAST,
    cart_id=Join.LAST,
    channel=Join.LAST,
    step=Join.LAST,
    attempt=Join.LAST,
    first_at=Join.FIRST,
    requested_at=Join.FIRST,
    sent_at=Join.FIRST,
    delivered_at=Join.FIRST,
    opened_at=Join.FIRST,
    clicked_at=Join.FIRST,
    machine_at=Join.FIRST,
    bounced_at=Join.FIRST,
    complained_at=Join.FIRST,
    unsubscribed_at=Join.FIRST,
    deferred_at=Join.FIRST,
    deferred_rule=Join.LAST,
    refused_at=Join.FIRST,
    refused_rule=Join.LAST,
    in_doubt_at=Join.FIRST,
)
ORDERS = _table(
    "orders",
    "order_id",
    cart_id=Join.LAST,
    placed_at=Join.FIRST,
    cancelled_at=Join.FIRST,
    identities=Join.UNION,
    told=Join.LAST,
    total_minor=Join.TOLD,
    currency=Join.TOLD,
)
CONSENTS = _table(
    "consents",
    "channel address_hash",
    person_no_at=Join.LAST,
    person_yes_at=Join.LAST,
    other_no_at=Join.LAST,
    other_yes_at=Join.LAST,
)

TABLES = (CARTS, ABANDONMENTS, RECOVERIES, TURNS, JOURNEYS, SKIPS, MESSAGES, ORDERS, CONSENTS)
"""In the order in which a transaction writes them: one order for all, so that no two wait for each other."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What one record tells of one row."""

    table: Table
    row: Row


@dataclass(slots=True)
class Facts:
    """Rows joined so far, by table and key."""

    rows: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=dict)

    def add(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            held = self.rows.setdefault(fact.table.name, {})
            key = fact.table.key_of(fact.row)
            known = held.get(key)
            held[key] = fact.row if known is None else fact.table.join(known, fact.row)

    def __iter__(self) -> Iterator[tuple[Table, list[Row]]]:
        """Tables that have rows, in the order of TABLES, their rows in the order of their keys."""
        for table in TABLES:
            held = self.rows.get(table.name)
            if held:
                yield table, [held[key] for key in sorted(held)]
