"""Stories of several carts and stores, made up step by step by Hypothesis, as the engine and as the reference tell them.

The engine lives as it does in a worker: rows between records, restarts, crashes that go back to what was kept, ticks of
the clock at any moment. The reference hears the log alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.abandonment.domain.activity import activity_of
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note, Step, advance, take
from services.abandonment.domain.levels import next_due
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState, Position
from tests.unit.abandonment.records import DAY, MINUTE, START, kept, line
from tests.unit.abandonment.reference import Log, told_by_the_engine, told_by_the_reference
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig

HALF_MINUTE = 30_000  # The grain of all times, so that equal times and times at a level's edge are common.
STORES = ("store-1", "store-2")
Key = tuple[str, str]


class Happening(NamedTuple):
    """Something that a source tells; times in half minutes."""

    after: int  # What came before it.
    delay: int  # From the event to its arrival; the clock of a source may be ahead.
    kind: str
    changes: tuple[CartLine, ...]
    order_id: str
    mark: str
    rank: int  # Of its id, for ties of time to go either way.
    is_uuid: bool
    version_back: int  # Gateways may not know the newest setting yet.


CARTS = [("store-1", "cart-1")] * 3 + [("store-1", "cart-2"), ("store-2", "cart-1")]
GAPS = (0, 0, 1, 1, 2, 3, 4, 6, 10, 11, 14, 20, 40, 110)
LONG_GAPS = (2 * 60 * 25, 2 * 60 * 49)  # Carts are forgotten.
LINES = tuple((line("a", pieces),) for pieces in (1, 1, 2, -1, -1, -2, 0)) + tuple(
    (line("a", some), line("b", others)) for some, others in ((1, 1), (1, -1), (-1, 1), (0, -1), (2, 0))
)
CHOICES: dict[str, Sequence[Any]] = {
    "after": GAPS,
    "delay": (0, 0, 0, 0, 1, 2, 5, 10, 11, 25, 130, -3),
    "kind": (
        *("product_viewed", "checkout_step", "contact_captured", "tomorrows_kind"),
        *("lines_added", "lines_added", "lines_added", "lines_set", "lines_removed"),
        *("snapshot", "snapshot", "cart_emptied", "order_placed", "order_placed"),
    ),
    "changes": (*LINES, ()),
    "order_id": ("o-1", "o-2", "o-3", "o-4", ""),
    "mark": ("", "", "", "", "", "", "", "bot", "incomplete", "noted"),
    "rank": (0, 1, 2, 3),
    "is_uuid": (True, False),
    "version_back": (0, 0, 0, 1, 2),
}
carts = st.sampled_from(CARTS)
levels = st.lists(st.sampled_from([60, 120, 300, 420, 600, 900, 1200]), min_size=1, max_size=5, unique=True)
expiries = st.sampled_from([600, 1200, 1800, 3600, 7200])
happenings = st.lists(
    st.builds(Happening, **{name: st.sampled_from(choices) for name, choices in CHOICES.items()}),
    min_size=1,
    max_size=8,
)


class Stories(RuleBasedStateMachine):
    """One partition: its log, the rows of its carts, and all that was told of them, crashes' repeats included."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.log: Log = []
        self.configs: dict[str, dict[int, StoreConfig]] = {store: {} for store in STORES}
        self.rows: dict[Key, bytes] = {}
        self.told: list[Effect] = []
        self.kept_rows: dict[Key, bytes] = {}
        self.kept_at = 0  # Where reading begins again after a crash.
        self.exposed: set[Key] = set()  # Carts that the clock may have advanced: no history reaches back before that.

    # What the world does.

    @initialize(first=levels, second=levels, expiry=expiries)
    def stores_open(self, first: list[int], second: list[int], expiry: int) -> None:
        for store, of_store in zip(STORES, (first, second), strict=True):
            self.setting_changes(store, of_store, expiry, None)

    @rule(
        store=st.sampled_from(STORES),
        of_store=levels,
        expiry=expiries,
        detection_from=st.sampled_from([None, None, -20, 0, 20]),
    )
    def setting_changes(self, store: str, of_store: list[int], expiry: int, detection_from: int | None) -> None:
        version = len(self.configs[store]) + 1
        self.configs[store][version] = StoreConfig(
            store_id=store,
            version=version,
            currency="EUR",
            levels=tuple(sorted(of_store)),
            expiry_seconds=expiry,
            detection_from=0 if detection_from is None else self.now + detection_from * MINUTE,
        )

    @rule(gap=st.sampled_from((*GAPS, *LONG_GAPS)))
    def time_passes(self, gap: int) -> None:
        self.now += gap * HALF_MINUTE

    @rule(key=carts, what=happenings)
    def a_shopper_is_busy(self, key: Key, what: list[Happening]) -> None:
        for happening in what:
            self.now += happening.after * HALF_MINUTE
            self._arrives(self.now, self._record(key, happening, self.now))

    @rule(seed=st.integers(0, 2**32), records=st.integers(1, 60))
    def all_are_busy(self, seed: int, records: int) -> None:
        """Many records at little cost: Hypothesis knows only how to make them fewer."""
        random = Random(seed)
        for _ in range(records):
            happening = Happening(**{name: random.choice(choices) for name, choices in CHOICES.items()})
            self.a_shopper_is_busy(random.choice(CARTS), [happening])

    @rule(key=carts, what=happenings, age=st.sampled_from([0, 1, 2, 10, 20, 41, 130, 2 * 60 * 26]), ended=st.booleans())
    def history_is_imported(self, key: Key, what: list[Happening], age: int, ended: bool) -> None:
        """Its arrivals are historic, and need not grow, where no clock has passed them."""
        for happening in what:
            arrival = self.now if key in self.exposed else self.now - max(0, age - happening.after) * HALF_MINUTE
            record = self._record(key, happening, arrival)
            self._arrives(arrival, replace(record, imported=True, received_at=arrival))
        if ended:
            self.exposed.add(key)
            marker = self._record(key, what[0]._replace(kind="import_ended", mark=""), self.now)
            self._arrives(self.now, replace(marker, imported=True, received_at=self.now))

    @precondition(lambda self: self.log)
    @rule(back=st.integers(1, 20))
    def a_record_comes_twice(self, back: int) -> None:
        record = self.log[-min(back, len(self.log))][1]
        self._arrives(record.received_at if record.imported else self.now, record)

    # What happens to the worker.

    @rule()
    def clock_ticks(self) -> None:
        """The end of the log was seen: what silence made due by now is told."""
        for key in list(self.rows):
            before = self._state(key)
            assert before is not None
            setting = self._setting(key, before)
            due = next_due(before, setting)
            assert (due is None) == (before.origin == HELD)
            if due is not None and due <= self.now:
                self._keep(key, advance(before, self.now, setting))

    @rule()
    def a_batch_is_kept(self) -> None:
        self.kept_rows, self.kept_at = dict(self.rows), len(self.log)

    @rule()
    def worker_crashes(self) -> None:
        """What was not kept is read again. What was told before the crash is told again, the same."""
        event("crash")
        self.rows = dict(self.kept_rows)
        for offset in range(self.kept_at, len(self.log)):
            self._hear(offset)

    @precondition(lambda self: self.log)
    @rule(back=st.integers(0, 100))
    def applied_records_come_again_under_their_offsets(self, back: int) -> None:
        """To carts whose rows are ahead of the offset that is read from."""
        self.clock_ticks()  # What a late record made due at once is told before anything else; not of an import.
        for offset in range(max(0, len(self.log) - back), len(self.log)):
            record = self.log[offset][1]
            state = self._state((record.store_id, record.cart_id))
            if state is not None and state.offset >= offset and state.origin != HELD:
                rows, told = dict(self.rows), len(self.told)
                assert self._hear(offset) in (Note.DUPLICATE, Note.IGNORED)
                assert (self.rows, len(self.told)) == (rows, told)

    # What must hold.

    @rule()
    def so_far_the_engine_tells_what_the_reference_tells(self) -> None:
        self.clock_ticks()
        self._compare()

    @invariant()
    def repeats_are_the_same_and_causes_of_a_cart_only_grow(self) -> None:
        for key in {(effect.store_id, effect.cart_id) for effect in self.told}:
            causes = [
                (effect.cause.offset, effect.cause.ordinal)
                for effect in self._without_repeats()
                if (effect.store_id, effect.cart_id) == key
            ]
            assert causes == sorted(set(causes))

    def teardown(self) -> None:
        if self.log:
            self.now += 40 * DAY
            self.clock_ticks()
            self._compare()

    def _compare(self) -> None:
        effects = self._without_repeats()
        for effect in effects:
            event(type(effect).__name__)
        made = told_by_the_engine(effects)
        for store in STORES:
            of_store = [(arrival, record) for arrival, record in self.log if record.store_id == store]
            expected = told_by_the_reference(of_store, self.configs[store], self.now)
            assert {key: facts for key, facts in made.items() if key[0] == store} == expected

    def _without_repeats(self) -> list[Effect]:
        """Each fact once, as a reader has them that drops replays by their cause."""
        facts: dict[tuple[Key, int, int], Effect] = {}
        for effect in self.told:
            plain = replace(effect, fired_at=0) if isinstance(effect, CartAbandoned) else effect
            cause = ((effect.store_id, effect.cart_id), effect.cause.offset, effect.cause.ordinal)
            assert facts.setdefault(cause, plain) == plain
        return list(facts.values())

    def _record(self, key: Key, what: Happening, arrival: int) -> CartActivity:
        number, latest = len(self.log), len(self.configs[key[0]])
        return CartActivity(
            id=str(UUID(int=what.rank << 124 | number)) if what.is_uuid else f"{what.rank}-{number}",
            store_id=key[0],
            cart_id=key[1],
            occurred_at=arrival - what.delay * HALF_MINUTE,
            config_version=max(1, latest - what.version_back),
            marks=(what.mark,) if what.mark else (),
            kind=what.kind,
            currency="EUR",
            lines=what.changes,
            order_id=what.order_id if what.kind == "order_placed" else "",
        )

    def _arrives(self, arrival: int, record: CartActivity) -> None:
        self.log.append((arrival, record))
        self._hear(len(self.log) - 1)

    def _hear(self, offset: int) -> Note:
        arrival, record = self.log[offset]
        key = record.store_id, record.cart_id
        before = self._state(key)
        setting = Setting.of(self.configs[key[0]][record.config_version])
        in_force = self._setting(key, before) if before else setting
        position = Position(0, offset)
        step = take(before, activity_of(record), arrival, position, in_force=in_force, setting=setting)
        if not record.imported and not record.marks:
            self.exposed.add(key)
        if before is not None:
            assert before.to_row() == self.rows[key], "the engine changed the state that it was given"
        self._keep(key, step)
        return step.note

    def _keep(self, key: Key, step: Step) -> None:
        self.told.extend(step.effects)
        self.rows.pop(key, None)
        if step.state is not None:
            self.rows[key] = kept(step.state).to_row()

    def _state(self, key: Key) -> CartState | None:
        row = self.rows.get(key)
        return None if row is None else CartState.from_row(row)

    def _setting(self, key: Key, state: CartState) -> Setting:
        return Setting.of(self.configs[key[0]][state.config_version])


class TestP2TheEngineTellsWhatTheReferenceTells(Stories.TestCase):  # type: ignore[misc,valid-type]  # made at run time
    settings = settings(max_examples=250, stateful_step_count=20, deadline=None)
