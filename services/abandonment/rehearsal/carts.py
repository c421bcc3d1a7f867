"""The engine over a recorded log: what detection would tell of it. Pure; a cart that is forgotten leaves memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from services.abandonment.domain.activity import Activity
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note, advance, take
from services.abandonment.domain.levels import next_due
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState, Position
from services.abandonment.domain.timers import Timers
from trolleybus.contracts.stores import StoreConfig

SLACK_MS = 86_400_000
"""By so much the records of a partition may stand out of the order of their arrival."""

SWEEP_MS = 3_600_000
"""How much time of the log passes between looks at what is silent."""


SWEPT_AT_ONCE = 1_000


class UnknownStore(ValueError):
    """No settings of the store are known."""


class OutOfOrder(ValueError):
    """A record arrived before a time up to which silent carts were let go already."""


class Settings:
    """Every version of every store's settings; `levels` and `detect_all` say what to try instead of theirs."""

    def __init__(self, levels: tuple[int, ...] = (), *, detect_all: bool = False) -> None:
        self._levels = levels
        self._detect_all = detect_all
        self._versions: dict[tuple[str, int], Setting] = {}
        self._latest: dict[str, Setting] = {}

    def add(self, config: StoreConfig) -> None:
        setting = self._tried(Setting.of(config))
        self._versions[config.store_id, config.version] = setting
        latest = self._latest.get(config.store_id)
        if latest is None or latest.version <= config.version:
            self._latest[config.store_id] = setting

    def of(self, store_id: str, version: int) -> Setting:
        """That version, else the latest known. Raises UnknownStore where none is known and no levels are tried."""
        found = self._versions.get((store_id, version)) or self._latest.get(store_id)
        if found is not None:
            return found
        if not self._levels:
            raise UnknownStore(f"the settings of store {store_id!r} stand neither before this line nor elsewhere")
        return self._tried(Setting(store_id=store_id))

    def _tried(self, setting: Setting) -> Setting:
        return replace(
            setting,
            levels=self._levels or setting.levels,
            detection_from=0 if self._detect_all else setting.detection_from,
        )


class Told(msgspec.Struct, frozen=True):
    """What a record made due or caused, in its order, and what became of it."""

    effects: tuple[Effect, ...]
    note: Note


@dataclass(slots=True)
class _Lane:
    """One partition: the time that its live records have reached, up to where its silence was told, who waits."""

    now: int = 0
    swept: int = 0
    timers: Timers = field(default_factory=Timers)


class Rehearsal:
    """The carts of a log. Each is advanced by its own records, so the order of carts in the file decides nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._carts: dict[bytes, CartState] = {}
        self._lanes: dict[int, _Lane] = {}

    @property
    def carts(self) -> int:
        """How many are remembered now."""
        return len(self._carts)

    @property
    def held(self) -> int:
        """How many of them wait for the end of their import."""
        return sum(state.origin == HELD for state in self._carts.values())

    def hear(self, activity: Activity, arrival: int, position: Position) -> Told:
        """The next record of the log. Raises Rejected, UnknownStore and OutOfOrder."""
        lane = self._lanes.get(position.partition)
        if lane is None:
            lane = self._lanes[position.partition] = _Lane()
        if 0 < arrival < lane.swept and not activity.imported:
            raise OutOfOrder(
                "the file is not in the order of arrival: this record arrived more than a day before one above it"
            )
        setting = self._settings.of(activity.store_id, activity.config_version)
        if activity.kind == "import_ended" and not activity.cart_id:
            told = self._end_import(lane, activity, arrival, position, setting)
        else:
            told = self._take(lane, activity, arrival, position, setting)
        if activity.imported or arrival <= lane.now:
            return told
        lane.now = arrival
        if arrival - SLACK_MS - lane.swept < SWEEP_MS:
            return told
        return Told((*told.effects, *self._sweep(lane, arrival - SLACK_MS)), told.note)

    def end(self, until: int) -> Iterator[Effect]:
        """What silence makes due by then, cart by cart; the log is over."""
        for state in self._carts.values():
            if state.origin != HELD:
                setting = self._settings.of(state.store_id, state.config_version)
                yield from advance(state, until, setting).effects

    def _take(self, lane: _Lane, activity: Activity, arrival: int, position: Position, setting: Setting) -> Told:
        key = f"{activity.store_id}:{activity.cart_id}".encode()
        before = self._carts.get(key)
        in_force = setting if before is None else self._in_force(before, setting)
        step = take(before, activity, arrival, position, in_force=in_force, setting=setting)
        if step.state is not before:
            self._keep(lane, key, step.state, setting)
        return Told(step.effects, step.note)

    def _end_import(self, lane: _Lane, activity: Activity, arrival: int, position: Position, setting: Setting) -> Told:
        """Of every cart of the store that waits for it, in this partition."""
        made: list[Effect] = []
        for state in list(self._carts.values()):
            waits = state.origin == HELD and state.partition == position.partition
            if waits and state.store_id == activity.store_id:
                of_cart = replace(activity, cart_id=state.cart_id)
                made.extend(self._take(lane, of_cart, arrival, position, setting).effects)
        return Told(tuple(made), Note.APPLIED)

    def _sweep(self, lane: _Lane, until: int) -> list[Effect]:
        lane.swept = until
        made: list[Effect] = []
        while keys := lane.timers.pop(until, SWEPT_AT_ONCE):
            for key in keys:
                state = self._carts[key]
                setting = self._settings.of(state.store_id, state.config_version)
                step = advance(state, until, setting)
                made.extend(step.effects)
                self._keep(lane, key, step.state, setting)
        return made

    def _in_force(self, state: CartState, setting: Setting) -> Setting:
        """The state's setting, which most often is that of its last record."""
        same = state.config_version == setting.version
        return setting if same else self._settings.of(state.store_id, state.config_version)

    def _keep(self, lane: _Lane, key: bytes, state: CartState | None, setting: Setting) -> None:
        if state is None:
            del self._carts[key]
            lane.timers.set(key, None)
        else:
            self._carts[key] = state
            lane.timers.set(key, next_due(state, self._in_force(state, setting)))
