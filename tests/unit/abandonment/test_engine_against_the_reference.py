"""The engine against the reference of tools/oracles, over logs that Hypothesis makes up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.abandonment.domain.activity import Line, activity_of
from services.abandonment.domain.contents import NOTHING, merge
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note, advance, take
from services.abandonment.domain.levels import next_due
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState, Position
from tests.unit.abandonment.records import CART, DAY, HOUR, MINUTE, START, STORE, euros, kept, line
from tests.unit.abandonment.reference import Log, Told, told_by_the_engine, told_by_the_reference
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.recovery import CartAbandoned
from trolleybus.contracts.stores import StoreConfig

CONFIGS = {
    1: StoreConfig(store_id=STORE, version=1, currency="EUR", levels=(120, 420, 1200), expiry_seconds=3600),
    2: StoreConfig(store_id=STORE, version=2, currency="EUR", levels=(60, 480), expiry_seconds=1800),
    3: StoreConfig(
        store_id=STORE,
        version=3,
        currency="EUR",
        levels=(120, 600, 900),
        expiry_seconds=7200,
        detection_from=START + 20 * MINUTE,
    ),
}
SETTINGS = {version: Setting.of(config) for version, config in CONFIGS.items()}
END = START + 40 * DAY

# Half minutes, so that equal times and times at a level's edge are common.
SHORT_GAPS = (0, 0, 1, 1, 2, 3, 4, 6, 10, 14, 20, 40, 110)  # 25 of them are less than a day: no cart is forgotten.
GAPS = (*SHORT_GAPS, 2 * 60 * 25, 2 * 60 * 49)
delays = st.sampled_from([0, 0, 0, 0, 1, 2, 5, 10, 11, 25, 130, -3])
kinds = st.sampled_from(
    [
        "product_viewed",
        "checkout_step",
        "tomorrows_kind",
        "lines_added",
        "lines_added",
        "lines_added",
        "lines_set",
        "lines_removed",
        "snapshot",
        "cart_emptied",
        "order_placed",
        "order_placed",
    ]
)
lines = st.lists(
    st.builds(line, st.sampled_from("abc"), st.integers(-2, 3)),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item.line_id,
)


@st.composite
def logs(draw: st.DrawFn, *, imports: bool = False, gaps: tuple[int, ...] = GAPS) -> Log:
    """One store's log: two carts, late, duplicated and equal-time records, settings that change, marks, imports."""
    log: Log = []
    now, version = START, 1
    for number in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from(gaps)) * 30_000
        version = draw(st.sampled_from([version, version, version, 1, 2, 3]))
        if log and draw(st.integers(0, 7)) == 0:
            again = draw(st.sampled_from(log))[1]
            log.append((now, replace(again, received_at=now) if again.imported else again))
            continue
        kind = draw(kinds)
        record = CartActivity(
            id=f"{draw(st.integers(0, 9))}-{number}",
            store_id=STORE,
            cart_id=draw(st.sampled_from([CART, CART, CART, "cart-2"])),
            occurred_at=now - draw(delays) * 30_000,
            config_version=version,
            kind=kind,
            lines=tuple(draw(lines)),
            order_id=draw(st.sampled_from(["o-1", "o-2", "o-3", ""])) if kind == "order_placed" else "",
            marks=draw(st.sampled_from([(), (), (), (), (), ("bot",), ("incomplete",), ("noted",)])),
        )
        if imports:
            imported = draw(st.booleans())
            record = replace(
                record,
                imported=imported,
                received_at=now if imported else 0,
                kind=draw(st.sampled_from([kind, kind, "import_ended"])),
            )
        log.append((now, record))
    return log


def play(log: Log, ticks: Sequence[int] = (), until: int = END) -> list[Effect]:
    """The engine over a log; between records the clock ticks at the given times, for what is due by then."""
    states: dict[str, CartState] = {}
    made: list[Effect] = []
    waiting = sorted(ticks)

    def silence(to_ms: int) -> None:
        for cart_id, state in list(states.items()):
            due = next_due(state, SETTINGS[state.config_version])
            if due is not None and due <= to_ms:
                step = advance(state, to_ms, SETTINGS[state.config_version])
                keep(cart_id, step.state, step.effects)

    def keep(cart_id: str, state: CartState | None, effects: tuple[Effect, ...]) -> None:
        made.extend(effects)
        states.pop(cart_id, None)
        if state:
            states[cart_id] = kept(state)

    for offset, (arrival, record) in enumerate(log):
        while waiting and waiting[0] <= arrival:
            silence(waiting.pop(0))
        before = states.get(record.cart_id)
        in_force = SETTINGS[before.config_version if before else record.config_version]
        step = take(
            before,
            activity_of(record),
            arrival,
            Position(0, offset),
            in_force=in_force,
            setting=SETTINGS[record.config_version],
        )
        keep(record.cart_id, step.state, step.effects)
    for tick in waiting:
        silence(tick)
    silence(until)
    return made


def reference(log: Log, until: int = END) -> Told:
    return told_by_the_reference(log, CONFIGS, until)


@given(logs())
@settings(max_examples=250, deadline=None)
def test_P2_the_engine_tells_what_the_reference_tells_cart_by_cart_and_in_order(log: Log) -> None:
    made = play(log)
    for effect in made:
        event(type(effect).__name__)
    assert told_by_the_engine(made) == reference(log)


@given(logs(imports=True))
@settings(max_examples=100, deadline=None)
def test_imported_and_live_records_of_one_cart_give_what_the_reference_gives(log: Log) -> None:
    made = play(log)
    assert told_by_the_engine(made) == reference(log)


@given(logs(imports=True), st.lists(st.integers(0, 500), max_size=30))
@settings(max_examples=100, deadline=None)
def test_P2_when_the_clock_ticks_decides_nothing_of_what_is_told(log: Log, half_minutes: list[int]) -> None:
    ticks = [START + tick * 30_000 + HOUR * (tick % 3) for tick in half_minutes]
    # A tick says that nothing unread arrived earlier: play() gives only those that the log allows.
    often, once = play(log, ticks), play(log)
    assert [without_fired_at(effect) for effect in sorted_by_cart(often)] == [
        without_fired_at(effect) for effect in sorted_by_cart(once)
    ]


@given(logs(gaps=SHORT_GAPS))
@settings(max_examples=100, deadline=None)
def test_P2_each_id_is_told_once_and_the_causes_of_a_cart_only_grow(log: Log) -> None:
    made = play(log)
    told = [effect.id for effect in made]
    assert len(told) == len(set(told))
    for cart_id in {effect.cart_id for effect in made}:
        causes = [(effect.cause.offset, effect.cause.ordinal) for effect in made if effect.cart_id == cart_id]
        assert causes == sorted(set(causes))


@given(logs(), st.data())
@settings(max_examples=100, deadline=None)
def test_P2_records_read_again_after_a_crash_change_nothing(log: Log, data: st.DataObject) -> None:
    """State is ahead of the committed offset: a stretch of the log comes again under its old offsets."""
    crash = data.draw(st.integers(1, len(log)))
    back = data.draw(st.integers(0, crash))
    states: dict[str, CartState] = {}
    for offset, (arrival, record) in enumerate(log[:crash]):
        _hear(states, offset, arrival, record)
    # What a late record made due at once is told by the next tick, or by the next record.
    last = max(arrival for arrival, _ in log[:crash])
    advanced = {cart: advance(state, last, SETTINGS[state.config_version]).state for cart, state in states.items()}
    states = {cart: state for cart, state in advanced.items() if state}
    rows = {cart_id: state.to_row() for cart_id, state in states.items()}
    for offset, (arrival, record) in list(enumerate(log))[back:crash]:
        if states.get(record.cart_id) is None or states[record.cart_id].offset < offset:
            continue  # Duplicates and forgotten carts have no row that is ahead.
        assert _hear(states, offset, arrival, record) in (Note.DUPLICATE, Note.IGNORED)
    assert {cart_id: state.to_row() for cart_id, state in states.items()} == rows


def _hear(states: dict[str, CartState], offset: int, arrival: int, record: CartActivity) -> Note:
    before = states.get(record.cart_id)
    in_force = SETTINGS[before.config_version if before else record.config_version]
    step = take(
        before,
        activity_of(record),
        arrival,
        Position(0, offset),
        in_force=in_force,
        setting=SETTINGS[record.config_version],
    )
    states.pop(record.cart_id, None)
    if step.state:
        states[record.cart_id] = step.state
    return step.note


def without_fired_at(effect: Effect) -> Effect:
    return replace(effect, fired_at=0) if isinstance(effect, CartAbandoned) else effect


def sorted_by_cart(effects: list[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: effect.cart_id)


@given(logs(imports=True))
@settings(max_examples=100, deadline=None)
def test_a_cart_that_an_import_holds_waits_for_no_clock(log: Log) -> None:
    states: dict[str, CartState] = {}
    for offset, (arrival, record) in enumerate(log):
        _hear(states, offset, arrival, record)
    for state in states.values():
        assert (next_due(state, SETTINGS[state.config_version]) is None) == (state.origin == HELD)


@given(st.permutations(range(6)), st.data())
@settings(max_examples=100, deadline=None)
def test_contents_do_not_depend_on_the_order_of_arrival(order: list[int], data: st.DataObject) -> None:
    records = [
        CartActivity(
            id=f"r{data.draw(st.integers(0, 3))}{number}",
            kind=data.draw(st.sampled_from(["snapshot", "lines_set", "lines_added", "lines_removed", "cart_emptied"])),
            occurred_at=data.draw(st.integers(1, 4)),
            lines=tuple(data.draw(lines)),
            discount=euros(number),
        )
        for number in range(6)
    ]

    def merged(sequence: list[CartActivity]) -> tuple[dict[str, Line], object]:
        contents = NOTHING
        for record in sequence:
            contents = merge(contents, activity_of(record), record.occurred_at)
        return {item.line_id: item for item in contents.lines()}, contents.discount

    in_time = sorted(records, key=lambda record: (record.occurred_at, record.id))
    assert merged([records[index] for index in order]) == merged(in_time)
