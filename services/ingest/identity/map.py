"""The identity map of a gateway process: asked before an event is settled, told after Kafka has it.

What Valkey cannot answer in time is done without. What was learned is gathered for 25 ms and written beside
the answers; while Valkey is away the last of it is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.ingest.domain.people import Identity
from services.ingest.domain.persons import Person
from services.ingest.domain.remembering import Sighting
from services.ingest.domain.sealed import Event
from services.ingest.identity import learning
from services.ingest.identity.memory import BELIEVED_S, Memory
from services.ingest.identity.space import IdentitySpace
from services.ingest.metrics import IngestMetrics
from services.ingest.valkey import Valkey
from trolleybus.telemetry import get_logger

GATHER_S = 0.025
MOST_AT_ONCE = 500
MOST_UNWRITTEN = 20_000
AWAY_S = 0.5
MOST_TRIES = 10

logger = get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Question:
    """Whose identities are. An answer may be older than a write that is known to be done meanwhile: `overtaken` are the
    identities of such writes."""

    identities: set[str] = field(default_factory=set)
    overtaken: set[str] = field(default_factory=set)
    waiting: list[asyncio.Future[bool]] = field(default_factory=list)


class IdentityMap:
    """`person` and `note` never wait; `fetch` is one round trip, shared by all who wait for one."""

    def __init__(self, valkey: Valkey, metrics: IngestMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._space = IdentitySpace(valkey)
        self._metrics = metrics
        self._clock = clock
        self._memory = Memory()
        self._next: _Question | None = None  # Gathers until the next pass of the event loop.
        self._sent: dict[_Question, asyncio.Task[None]] = {}
        self._unwritten: dict[int, Sighting] = {}  # By number, the oldest first.
        self._unwritten_of: defaultdict[str, set[int]] = defaultdict(set)
        self._number = 0
        self._told = asyncio.Event()

    def person(self, identity: str) -> Person | None:
        """Whose an identity is, as far as this process knows."""
        return self._memory.person(identity)

    def has(self, identities: Iterable[Identity]) -> bool:
        """Whether all were asked for lately: what is no longer fresh is asked for when it is noted."""
        return self._memory.are_fresh(identities, self._clock(), BELIEVED_S)

    def unusual(self, events: Sequence[Event]) -> list[int]:
        """The places of the events of which something may be to be looked up or learned."""
        return self._memory.unusual(events, self._clock())

    async def fetch(self, identities: Iterable[str]) -> bool:
        """Ask Valkey whose they are; False where it is away. All who ask in one pass of the event loop share a question."""
        loop = asyncio.get_running_loop()
        if self._next is None:
            self._next = _Question()
            loop.call_soon(self._send, self._next)
        answered: asyncio.Future[bool] = loop.create_future()
        self._next.identities.update(identities)
        self._next.waiting.append(answered)
        return await answered

    def _send(self, question: _Question) -> None:
        self._next = None
        self._sent[question] = asyncio.get_running_loop().create_task(self._ask(question))

    async def _ask(self, question: _Question) -> None:
        has_answered = False
        try:
            while question.identities and (page := await self._space.read(question.identities)) is not None:
                self._remember({one: person for one, person in page.persons.items() if one not in question.overtaken})
                question.identities &= question.overtaken
                question.overtaken.clear()
            has_answered = not question.identities
        finally:
            del self._sent[question]
            for one in question.waiting:
                if not one.done():
                    one.set_result(has_answered)

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Learn from events that Kafka has. This process knows at once, the others when it is written."""
        now = self._clock()
        for sighting in sightings:
            if self._memory.are_fresh(sighting.identities, now) and not self._memory.see(sighting, now):
                continue
            self._number += 1
            self._unwritten[self._number] = sighting
            for one in sighting.identities:
                self._unwritten_of[one.hash].add(self._number)
            self._told.set()
        if (beyond := len(self._unwritten) - MOST_UNWRITTEN) > 0:
            self._settle(list(islice(self._unwritten, beyond)), "lost")

    async def run(self) -> None:
        """Write what was learned, until cancelled."""
        while True:
            await self._told.wait()
            await asyncio.sleep(GATHER_S)
            self._told.clear()
            if not await self._write_all():
                await asyncio.sleep(AWAY_S)
                self._told.set()

    async def aclose(self) -> None:
        """Write what is left, if Valkey is there."""
        if not await self._write_all():
            logger.warning("what was learned of shoppers is not in valkey", sightings=len(self._unwritten))

    async def _write_all(self) -> bool:
        """What there is now; what comes meanwhile is gathered for the next time."""
        tries: Counter[int] = Counter()
        last = self._number
        while numbers := [number for number in islice(self._unwritten, MOST_AT_ONCE) if number <= last]:
            lesson = await learning.write(self._space, [self._unwritten[number] for number in numbers])
            if lesson is None:
                return False
            tries.update(late := {numbers[index] for index in lesson.late})
            self._settle([number for number in numbers if number not in late], "written")
            self._settle([number for number in late if tries[number] >= MOST_TRIES], "lost")
            self._learn_from(lesson)
        return True

    def _learn_from(self, lesson: learning.Lesson) -> None:
        now = self._clock()
        self._remember({one: person for one, person in lesson.persons.items() if not self._memory.is_fresh(one, now)})

    def _remember(self, persons: Mapping[str, Person | None]) -> None:
        now = self._clock()
        for identity, person in persons.items():
            self._memory.put(identity, person, now)
        unwritten = sorted({number for one in persons for number in self._unwritten_of.get(one, ())})
        for number in unwritten:
            self._memory.see(self._unwritten[number], now)

    def _settle(self, numbers: Sequence[int], outcome: str) -> None:
        for number in numbers:
            sighting = self._unwritten.pop(number, None)
            for one in sighting.identities if sighting is not None else ():
                for question in self._sent:
                    question.overtaken.add(one.hash)
                unwritten = self._unwritten_of[one.hash]
                unwritten.discard(number)
                if not unwritten:
                    del self._unwritten_of[one.hash]
        if numbers:
            self._metrics.identity_writes.labels(outcome).inc(len(numbers))
