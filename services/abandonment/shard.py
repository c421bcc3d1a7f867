"""One partition's carts: rows, timers and clock around the pure engine. No I/O; the rows are what the table holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import orjson

from services.abandonment.domain.clock import PartitionClock
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note, advance, take
from services.abandonment.domain.levels import next_due
from services.abandonment.domain.state import HELD, CartState, Position
from services.abandonment.domain.timers import Timers
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig

CLOCK_KEY = b"\x00clock"
"""The partition's own row: [clock, next offset]. No cart's key begins with a zero byte: store ids do not."""

RETRY_MS = 60_000
"""A cart whose store's settings are unknown is looked at again after this."""


class Settings(Protocol):
    """The settings of a store: those of a version, else the latest known; None for an unknown store."""

    def __call__(self, store_id: str, version: int) -> StoreConfig | None: ...


@dataclass(slots=True)
class Shard:
    """The carts of one partition. What changes is collected until `kept` says that it stands in the changelog."""

    partition: int
    rows: Mapping[bytes, bytes]
    settings: Settings
    clock: PartitionClock = field(default_factory=PartitionClock)
    timers: Timers = field(default_factory=Timers)
    _changed: dict[bytes, CartState | None] = field(default_factory=dict)
    _kept_clock: tuple[int, int] = (0, -1)

    def restore_clock(self, row: bytes | None, first_offset: int) -> None:
        """Where the partition stood; without a row, at the beginning of the log."""
        now, next_offset = orjson.loads(row) if row else (0, first_offset)
        self._kept_clock = (now, next_offset)
        self.clock.now, self.clock.next_offset = now, max(next_offset, 0)

    def restore_timer(self, key: bytes, state: CartState) -> None:
        """A cart found in the table."""
        self._schedule(key, state)

    def hear(
        self, key: bytes, record: CartActivity, arrival: int, offset: int, config: StoreConfig
    ) -> tuple[tuple[Effect, ...], Note]:
        """Apply a record; raises Rejected. The caller then says `passed`."""
        before = self._state(key)
        in_force = (self.settings(before.store_id, before.config_version) if before else None) or config
        step = take(before, record, arrival, Position(self.partition, offset), in_force=in_force, config=config)
        if step.state is not before:
            self._set(key, step.state)
        return step.effects, step.note

    def end_import(self, record: CartActivity, arrival: int, offset: int, config: StoreConfig) -> tuple[Effect, ...]:
        """An end-of-import marker of a whole store: every cart of it that waits for one."""
        made: list[Effect] = []
        for key, state in list(self._states()):
            if state.store_id == record.store_id and state.origin == HELD:
                of_cart = replace(record, cart_id=state.cart_id)
                made.extend(self.hear(key, of_cart, arrival, offset, config)[0])
        return tuple(made)

    def passed(self, offset: int, arrival: int) -> None:
        """A record is dealt with; 0 as arrival if it says nothing of the time."""
        self.clock.applied(offset, arrival)

    def silence(self, limit: int) -> list[Effect]:
        """What the clock makes due, for so many carts at most."""
        made: list[Effect] = []
        for _ in range(limit):
            key = self.timers.pop(self.clock.now)
            if key is None:
                break
            state = self._state(key)
            if state is None:
                continue
            config = self.settings(state.store_id, state.config_version)
            if config is None:
                self.timers.set(key, self.clock.now + RETRY_MS)
                continue
            due = next_due(state, config)
            if due is None or due > self.clock.now:
                self.timers.set(key, due)
                continue
            step = advance(state, self.clock.now, config)
            made.extend(step.effects)
            self._set(key, step.state)
        return made

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Rows to keep, carts first; the clock's row comes last, so that it never stands for carts that are not kept."""
        if not self._changed and self._kept_clock[1] == self.clock.next_offset:
            return []
        rows = [(key, orjson.dumps(state.to_row()) if state else None) for key, state in self._changed.items()]
        clock = orjson.dumps((self.clock.now, self.clock.next_offset))
        return [*rows, (clock_key(self.partition), clock)]

    def kept(self) -> None:
        """The changes stand in the changelog and in the rows."""
        self._changed.clear()
        self._kept_clock = (self.clock.now, self.clock.next_offset)

    def _state(self, key: bytes) -> CartState | None:
        if key in self._changed:
            return self._changed[key]
        row = self.rows.get(key)
        return read_row(row) if row is not None else None

    def _set(self, key: bytes, state: CartState | None) -> None:
        self._changed[key] = state
        self._schedule(key, state)

    def _schedule(self, key: bytes, state: CartState | None) -> None:
        if state is None:
            self.timers.set(key, None)
            return
        config = self.settings(state.store_id, state.config_version)
        self.timers.set(key, next_due(state, config) if config else self.clock.now + RETRY_MS)

    def _states(self) -> Iterator[tuple[bytes, CartState]]:
        for key in {*self.rows, *self._changed}:
            if not key.startswith(CLOCK_KEY):
                state = self._state(key)
                if state is not None and state.partition == self.partition:
                    yield key, state


def clock_key(partition: int) -> bytes:
    """Key of a partition's own row."""
    return CLOCK_KEY + str(partition).encode()


def read_row(row: bytes) -> CartState:
    """A cart of its row."""
    return CartState.from_row(orjson.loads(row))
