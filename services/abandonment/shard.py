"""One partition's carts: rows, timers and clock around the pure engine. No I/O but the rows on disk, no waiting.

What changes is collected until it is written: `take` hands it out for one transaction, `kept` says that it stands.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from services.abandonment.domain.activity import Activity
from services.abandonment.domain.checks import Rejected
from services.abandonment.domain.clock import PartitionClock
from services.abandonment.domain.effects import Effect
from services.abandonment.domain.engine import Note, advance, apply, take
from services.abandonment.domain.levels import next_due
from services.abandonment.domain.setting import Setting
from services.abandonment.domain.state import HELD, CartState, Position
from services.abandonment.domain.timers import Timers
from services.abandonment.store import CLOCK_KEY
from trolleybus.codec import UnknownSchema, UnreadableRecord

RETRY_MS = 60_000
"""A cart whose store's setting is unknown is looked at again after this."""

_CLOCK = struct.Struct(">qq")
_DUE = struct.Struct(">Q")


class MissingSetting(LookupError):
    """A record names a version of a store's setting that is not known yet."""

    def __init__(self, store_id: str, version: int) -> None:
        super().__init__(f"version {version} of store {store_id!r}")
        self.store_id, self.version = store_id, version


class Settings(Protocol):
    """Settings of stores, by version."""

    def of_record(self, store_id: str, version: int) -> Setting | None:
        """What a record is judged by; None if the topic must be read first."""

    def known(self, store_id: str, version: int) -> Setting | None:
        """That version, else the latest known; None for an unknown store."""


class Rows(Protocol):
    """The rows that stand."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_many(self, keys: list[bytes]) -> list[bytes | None]: ...
    def carts(self) -> Iterator[tuple[bytes, bytes]]: ...


class Reader(Protocol):
    """Reads a record's bytes; raises UnreadableRecord and UnknownSchema."""

    def read(self, data: bytes | None) -> Activity: ...


@dataclass(slots=True)
class Parked:
    """A record that cannot be used, and why."""

    record: ConsumerRecord
    error: Exception


class Stop(NamedTuple):
    """Why not all records were heard: the first that was not, and what it waits for; None: records before it are missing."""

    at: int
    waits_for: UnknownSchema | MissingSetting | None


class Changes(NamedTuple):
    """What one transaction writes."""

    rows: list[tuple[bytes, bytes | None]]  # The clock's comes last.
    effects: list[Effect]
    parked: list[Parked]
    next_offset: int  # Of the source.


@dataclass(slots=True)
class Shard:
    """The carts of one partition."""

    partition: int
    rows: Rows
    settings: Settings
    reader: Reader
    clock: PartitionClock = field(default_factory=PartitionClock)
    timers: Timers = field(default_factory=Timers)
    notes: Counter[Note] = field(default_factory=Counter)
    replayed: int = 0
    mistakes: list[Exception] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    changed_bytes: int = 0  # Of the rows that wait to be taken.
    _changed: dict[bytes, bytes | None] = field(default_factory=dict)  # Rows that wait to be taken.
    _writing: dict[bytes, bytes | None] = field(default_factory=dict)  # Rows that were taken and are not kept yet.
    _read: dict[bytes, bytes | None] = field(default_factory=dict)  # Rows as they stand, for one hearing.
    _judged_by: dict[tuple[str, int], Setting] = field(default_factory=dict)  # In one hearing.

    def restore(self, first_offset: int) -> None:
        """From the rows: where the partition stood (without a row at the log's first offset) and which carts wait."""
        row = self.rows.get(CLOCK_KEY)
        now, next_offset = _CLOCK.unpack(row) if row else (0, first_offset)
        self.clock = PartitionClock(now, next_offset)
        self.timers = Timers.of((key, due) for key, row in self.rows.carts() if (due := _due_of(row)))

    @property
    def changes(self) -> int:
        """How many carts wait to be written."""
        return len(self._changed)

    def hear(self, records: Sequence[ConsumerRecord]) -> Stop | None:
        """Records of the partition in order; None when all were heard. Those heard before are passed over."""
        next_offset = self.clock.next_offset
        fresh = []
        for place, record in enumerate(records):
            if record.offset == next_offset:
                fresh.append(record)
                next_offset += 1
            elif record.offset > next_offset:
                return self._apply_all(fresh, place - len(fresh)) or Stop(place, None)
        self.replayed += len(records) - len(fresh)
        return self._apply_all(fresh, len(records) - len(fresh))

    def park(self, record: ConsumerRecord, error: Exception) -> None:
        """Leave a record aside, with its reason."""
        self.parked.append(Parked(record, error))
        self.clock.applied(record.offset, record.timestamp)

    def pass_over(self, next_offset: int) -> None:
        """No record stands before that offset any more."""
        self.clock.next_offset = max(self.clock.next_offset, next_offset)

    def silence(self, limit: int) -> None:
        """What the clock makes due, for so many carts at most."""
        now = self.clock.now
        keys = self.timers.pop(now, limit)
        if not keys:
            return
        self._read_ahead(keys)
        for key in keys:
            state = self._state(key)
            if state is None:
                self.timers.set(key, None)
                continue
            setting = self.settings.known(state.store_id, state.config_version)
            if setting is None:
                self.timers.set(key, now + RETRY_MS)
                continue
            try:
                step = advance(state, now, setting)
            except Exception as error:  # noqa: BLE001 - a cart that meets a mistake of ours must not stop all others
                self.mistakes.append(error)
                self.timers.set(key, now + RETRY_MS)
                continue
            if step.state is state:
                self.timers.set(key, next_due(state, setting))
            else:
                self.effects.extend(step.effects)
                self._set(key, step.state, setting)
        self._read.clear()

    def take(self) -> Changes:
        """What waits to be written, once what was taken before is kept."""
        if self._writing:
            raise RuntimeError("the changes taken before are not kept yet")
        self._writing, self._changed, self.changed_bytes = self._changed, {}, 0
        rows = [*self._writing.items(), (CLOCK_KEY, _CLOCK.pack(self.clock.now, self.clock.next_offset))]
        effects, self.effects = self.effects, []
        parked, self.parked = self.parked, []
        return Changes(rows, effects, parked, self.clock.next_offset)

    def kept(self) -> None:
        """What was taken stands in the changelog and in the rows."""
        self._writing = {}

    def lookup(self, key: bytes) -> CartState | None:
        """A cart as it is now, written or not."""
        return self._state(key)

    def _apply_all(self, records: Sequence[ConsumerRecord], first: int) -> Stop | None:
        """One by one: what belongs to a record is made, used and let go while it is at hand in the processor's caches."""
        self._read_ahead([record.key for record in records if record.key])
        try:
            for place, record in enumerate(records, first):
                try:
                    self._apply(record)
                except (UnknownSchema, MissingSetting) as waiting:
                    return Stop(place, waiting)
                except (UnreadableRecord, Rejected) as error:
                    self.park(record, error)
                except Exception as error:  # noqa: BLE001 - a record that meets a mistake of ours must not stop all others
                    self.mistakes.append(error)
                    self.park(record, error)
        finally:
            self._read.clear()
            self._judged_by.clear()
        return None

    def _apply(self, record: ConsumerRecord) -> None:
        activity = self.reader.read(record.value)
        key, cart_id = record.key, activity.cart_id
        version = activity.store_id, activity.config_version
        setting = self._judged_by.get(version)
        if setting is None:
            setting = self.settings.of_record(*version)
            if setting is None:
                raise MissingSetting(*version)
            self._judged_by[version] = setting
        if cart_id and key != f"{activity.store_id}:{cart_id}".encode():
            raise Rejected(f"the key {key!r} is not of store {activity.store_id} and cart {cart_id}")
        if not cart_id and activity.kind == "import_ended":
            self._end_import(activity, record, setting)
        else:
            self._hear(key, activity, record, setting)
        self.clock.applied(record.offset, 0 if activity.imported else record.timestamp)

    def _hear(self, key: bytes, activity: Activity, record: ConsumerRecord, setting: Setting) -> None:
        row = self._row(key) if activity.cart_id else None
        before, due = (None, 0) if row is None else (CartState.from_row(row[_DUE.size :]), _due_of(row))
        appended_at, position = record.timestamp, Position(self.partition, record.offset)
        if (
            appended_at < due and not activity.imported
        ):  # Mostly: nothing was due, and nobody need ask what is in force.
            step = apply(before, activity, appended_at, position, setting)
        else:
            in_force = setting if before is None else self._in_force(before, setting)
            step = take(before, activity, appended_at, position, in_force=in_force, setting=setting)
        if step.effects:
            self.effects.extend(step.effects)
        self.notes[step.note] += 1
        if step.state is not before:
            self._set(key, step.state, setting)

    def _in_force(self, state: CartState, setting: Setting) -> Setting:
        """The setting of a cart, which mostly is that of the record at hand."""
        if state.config_version == setting.version:
            return setting
        return self.settings.known(state.store_id, state.config_version) or setting

    def _end_import(self, activity: Activity, record: ConsumerRecord, setting: Setting) -> None:
        """An end-of-import marker of a whole store: every cart of it that waits for one."""
        for key in list(self._held(activity.store_id)):
            state = self._state(key)
            if state is not None and state.origin == HELD:
                self._hear(key, replace(activity, cart_id=state.cart_id), record, setting)

    def _held(self, store_id: str) -> Iterator[bytes]:
        prefix = f"{store_id}:".encode()
        for key, row in self.rows.carts():
            if key.startswith(prefix) and not _due_of(row):
                yield key
        yield from (key for key in (*self._changed, *self._writing) if key.startswith(prefix))

    def _read_ahead(self, keys: Sequence[bytes]) -> None:
        """Rows of many carts in one look at the disk."""
        wanted = list({key for key in keys if key not in self._changed and key not in self._writing})
        if wanted:
            self._read = dict(zip(wanted, self.rows.get_many(wanted), strict=True))

    def _row(self, key: bytes) -> bytes | None:
        for rows in (self._changed, self._writing, self._read):
            if key in rows:
                return rows[key]
        return self.rows.get(key)

    def _state(self, key: bytes) -> CartState | None:
        row = self._row(key)
        return None if row is None else CartState.from_row(row[_DUE.size :])

    def _set(self, key: bytes, state: CartState | None, setting: Setting) -> None:
        self.changed_bytes -= len(self._changed.get(key) or b"")
        if state is None:
            self._changed[key] = None
            self.timers.set(key, None)
            return
        due = next_due(state, self._in_force(state, setting))
        row = self._changed[key] = _DUE.pack(due or 0) + state.to_row()
        self.changed_bytes += len(row)
        self.timers.set(key, due)


def _due_of(row: bytes) -> int:
    due: int = _DUE.unpack_from(row)[0]  # In half the time of int.from_bytes.
    return due
