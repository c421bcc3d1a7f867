"""The facts are joins: order and repetition change nothing."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.analytics.domain.facts import CARTS, TABLES, Facts, Join, Table
from services.analytics.domain.projection import TOPICS, facts_of
from tests.unit.analytics.life import life
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.records import Record
from trolleybus.topics import Topics

LIFE = life("store-1", seed=7, carts=40, start=1_700_000_000_000)
TOPIC_OF = Topics.load()


def told(records: list[tuple[Record, int]]) -> dict[str, object]:
    facts = Facts()
    for record, appended_at in records:
        facts.add(facts_of(record, appended_at, appended_at))
    return {table.name: rows for table, rows in facts}


class AnyInterleaving(RuleBasedStateMachine):
    """Topics are read each in its own order, in any interleaving, with repetitions; the tables are those of one plain reading."""

    @initialize(seed=st.integers(0, 30), shift=st.integers(0, 5))
    def start(self, seed: int, shift: int) -> None:
        records = life("store-1", seed=seed, carts=6, start=1_700_000_000_000)
        self.log = [(record, record.occurred_at + shift) for record in records]
        self.logs = {name: [one for one in self.log if TOPIC_OF.of(one[0]).name == name] for name in TOPICS}
        self.read = dict.fromkeys(self.logs, 0)
        self.facts = Facts()

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 8))
    def read_on(self, topic: str, count: int) -> None:
        self._take(topic, self.read[topic], self.read[topic] + count)
        self.read[topic] = min(self.read[topic] + count, len(self.logs[topic]))

    @precondition(lambda self: any(self.read.values()))
    @rule(topic=st.sampled_from(TOPICS), back=st.integers(1, 8))
    def read_again(self, topic: str, back: int) -> None:
        self._take(topic, max(0, self.read[topic] - back), self.read[topic])

    def _take(self, topic: str, begin: int, end: int) -> None:
        batch = Facts()  # As the handler does: a batch is joined first, then with the tables.
        for record, appended_at in self.logs[topic][begin:end]:
            batch.add(facts_of(record, appended_at, appended_at))
        for table, rows in batch:
            held = self.facts.rows.setdefault(table.name, {})
            for row in rows:
                key = table.key_of(row)
                held[key] = table.join(held[key], row) if key in held else row

    @invariant()
    def the_tables_are_those_of_what_was_read(self) -> None:
        if not hasattr(self, "log"):
            return
        plain = told([one for name in TOPICS for one in self.logs[name][: self.read[name]]])
        assert {table.name: rows for table, rows in self.facts} == plain


def test_P6_any_interleaving_of_topics_and_any_repetition_gives_the_same_tables() -> None:
    run_state_machine_as_test(
        AnyInterleaving, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )


@given(st.randoms(use_true_random=False), st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_P6_any_order_at_all_gives_the_same_tables(random: Random, repeated: int) -> None:
    log = [(record, record.occurred_at) for record in LIFE]
    shuffled = log + random.sample(log, min(repeated, len(log)))
    random.shuffle(shuffled)
    assert told(shuffled) == told(log)


def values(join: Join) -> st.SearchStrategy[object]:
    if join is Join.ANY:
        return st.booleans()
    if join is Join.UNION:
        return st.lists(st.integers(0, 3), unique=True).map(sorted)
    return st.none() | st.integers(0, 3)


@st.composite
def rows(draw: st.DrawFn, table: Table) -> dict[str, object]:
    drawn = {name: draw(values(join)) for name, join in table.joins.items()}
    if "told" in table.joins:  # One telling has one total.
        drawn["told"] = draw(st.none() | st.sampled_from(["a", "b"]))
        for name, join in table.joins.items():
            if join is Join.TOLD:
                drawn[name] = drawn["told"]
    return table.row(**dict.fromkeys(table.key, "key"), **drawn)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@given(st.data())
@settings(deadline=None, max_examples=50)
def test_P6_each_join_is_commutative_associative_and_idempotent(table: Table, data: st.DataObject) -> None:
    a, b, c = (data.draw(rows(table)) for _ in range(3))
    assert table.join(a, b) == table.join(b, a)
    assert table.join(table.join(a, b), c) == table.join(a, table.join(b, c))
    assert table.join(a, a) == a


def cart_rows(*records: CartActivity, arrival: int = 10_000) -> list[dict[str, object]]:
    facts = Facts()
    for record in records:
        facts.add(facts_of(record, arrival, arrival))
    return next(iter(facts))[1]


def activity(kind: str, at: int = 5000, **more: object) -> CartActivity:
    return CartActivity(id=f"{kind}{at}", store_id="s", cart_id="c", kind=kind, occurred_at=at, **more)  # type: ignore[arg-type]


LINE = CartLine(line_id="a", quantity=1)


def test_a_view_is_seen_and_opens_no_cart() -> None:
    [row] = cart_rows(activity("product_viewed"))
    assert (row["first_seen_at"], row["first_item_at"]) == (5000, None)


def test_a_line_with_no_pieces_opens_no_cart() -> None:
    [row] = cart_rows(activity("lines_added", lines=(CartLine(line_id="a", quantity=-1),)))
    assert row["first_item_at"] is None


def test_a_snapshot_without_lines_empties_the_cart() -> None:
    [row] = cart_rows(activity("snapshot", 4000, lines=(LINE,)), activity("snapshot", 6000))
    assert (row["first_item_at"], row["emptied_at"]) == (4000, 6000)


def test_a_clock_that_runs_ahead_cannot_put_activity_after_its_arrival() -> None:
    [row] = cart_rows(activity("snapshot", 99_000, lines=(LINE,)), arrival=10_000)
    assert row["last_activity_at"] == 10_000


def test_bots_and_incomplete_sessions_are_kept_apart_and_other_marks_left_out() -> None:
    [row] = cart_rows(activity("snapshot", lines=(LINE,), marks=("bot",)))
    assert (row["bot_seen_at"], row["first_seen_at"], row["first_item_at"]) == (5000, None, None)
    [row] = cart_rows(activity("snapshot", lines=(LINE,), marks=("incomplete",)))
    assert (row["incomplete_seen_at"], row["bot_seen_at"], row["first_seen_at"]) == (5000, None, None)
    [row] = cart_rows(activity("snapshot", lines=(LINE,), marks=("incomplete", "bot")))
    assert (row["incomplete_seen_at"], row["bot_seen_at"], row["first_seen_at"]) == (None, 5000, None)
    assert not list(facts_of(activity("snapshot", lines=(LINE,), marks=("of another kind",)), 1, 1))


def test_a_text_that_postgresql_cannot_hold_is_mended() -> None:
    record = CartActivity(id="x", store_id="s", cart_id="a\x00b", kind="product_viewed", occurred_at=1)
    [row] = cart_rows(record)
    assert row["cart_id"] == "a�b"


def test_the_row_of_a_table_refuses_a_column_it_has_not() -> None:
    with pytest.raises(KeyError, match="carts has no column colour"):
        CARTS.row(store_id="s", cart_id="c", colour="red")
