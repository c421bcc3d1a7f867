"""The identity map made anew from the log, in a space of its own; then put in the place of the one in use.

The gateway goes on meanwhile: it writes to the space in use until the swap, to the new one afterwards, and what it wrote
last to the old one is read from the log once more.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from services.ingest.domain.remembering import Sighting
from services.ingest.identity import learning
from services.ingest.identity.alone import Alone
from services.ingest.identity.log import in_order
from services.ingest.identity.replay import sighting_in
from services.ingest.identity.space import IN_USE, IdentitySpace
from services.ingest.valkey import Valkey
from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.contracts.identity import IdentityHasher
from trolleybus.topics import Topic

_BATCH = 500
_SMALL_GAP = 1_000
_TRIES = 10
ALONE = "trolleybus:identity:rebuilding"
_ALONE_S = 300

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Records read so far, and how many there are to read."""


class RebuildError(Exception):
    """The rebuild could not be done; the map in use goes on. The text says what to do."""


@dataclass(slots=True)
class Outcome:
    read: int = 0
    unreadable: int = 0
    sightings: int = 0
    lost: int = 0


class Rebuild:
    """One rebuild."""

    def __init__(
        self, *, valkey: Valkey, bootstrap: str, codec: Codec, topics: Sequence[Topic], hasher: IdentityHasher
    ) -> None:
        self._valkey = valkey
        self._bootstrap = bootstrap
        self._codec = codec
        self._topics = topics
        self._hasher = hasher
        self._alone = Alone(ALONE, _ALONE_S)
        self._outcome = Outcome()

    async def run(self, progress: Progress) -> Outcome:
        """Fill, catch up, swap, catch up with what was written to the old map during the last step; then forget that."""
        if not await self._ask(self._alone.hold):
            raise RebuildError(f"another rebuild is at work: wait for it (or for {_ALONE_S} s, should it have died)")
        try:
            return await self._run(progress)
        finally:
            await self._valkey.ask("rebuild", self._alone.leave)

    async def _run(self, progress: Progress) -> Outcome:
        old = await self._ask(_in_use)
        new = str(int(old) + 1)
        await self._forget(new)  # Of a rebuild that was broken off.
        space = IdentitySpace(self._valkey, new)
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await kafka.start()
        try:
            places = [TopicPartition(one.full_name, number) for one in self._topics for number in range(one.partitions)]
            kafka.assign(places)
            reached: Mapping[TopicPartition, int] = await kafka.beginning_offsets(places)
            while True:
                ends = await kafka.end_offsets(places)
                gap = sum(ends[place] - reached[place] for place in places)
                await self._fill(space, kafka, reached, ends, progress)
                reached = ends
                if gap < _SMALL_GAP:
                    break
            await self._ask(lambda client: client.set(IN_USE, new))
            await self._fill(space, kafka, reached, await kafka.end_offsets(places), progress)
        finally:
            await kafka.stop()
        await self._forget(old)
        return self._outcome

    async def _fill(
        self,
        space: IdentitySpace,
        kafka: AIOKafkaConsumer,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        progress: Progress,
    ) -> None:
        outcome = self._outcome
        total = outcome.read + sum(ends[place] - starts[place] for place in starts)
        batch: list[Sighting] = []
        async for record in in_order(kafka, starts, ends):
            outcome.read += 1
            try:
                sighting = sighting_in(await self._codec.decode(record.value), self._hasher)
            except UnreadableRecord:  # Whoever reads the topic for good has parked it.
                outcome.unreadable += 1
                continue
            if sighting is not None:
                batch.append(sighting)
            if len(batch) >= _BATCH:
                await self._learn(space, batch)
                batch.clear()
                progress(outcome.read, total)
        await self._learn(space, batch)
        progress(total, total)

    async def _learn(self, space: IdentitySpace, sightings: Sequence[Sighting]) -> None:
        if not await self._ask(self._alone.hold):
            raise RebuildError("this rebuild stood still for so long that another has begun: wait for that one")
        self._outcome.sightings += len(sightings)
        left = list(sightings)
        for _ in range(_TRIES):  # The gateway, after the swap, may have been there in between.
            lesson = await learning.write(space, left) if left else None
            if left and lesson is None:
                raise _away()
            left = [left[number] for number in lesson.late] if lesson else []
        self._outcome.lost += len(left)

    async def _forget(self, space: str) -> None:
        async def work(client: Redis) -> bool:
            async for key in client.scan_iter(f"{IN_USE}:{space}:*", count=1000):
                await client.unlink(key)
            return True

        await self._ask(work)

    async def _ask(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        answer = await self._valkey.ask("rebuild", question)
        if answer is None:
            raise _away()
        return answer


async def _in_use(client: Redis) -> str:
    return str(await client.get(IN_USE) or "0")


def _away() -> RebuildError:
    return RebuildError("Valkey does not answer: run it again when it is back")
