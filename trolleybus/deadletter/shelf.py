"""Reads the dead letter topics, and puts records back where they came from."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from trolleybus.codec import Codec, UnreadableRecord
from trolleybus.deadletter.records import Parked, marked, parking_of, replay_marker, restored
from trolleybus.producer import RecordProducer
from trolleybus.topics import Topic, Topics, UnknownTopic


@dataclass(frozen=True, slots=True)
class Skipped:
    """A parked record that was not replayed, and why."""

    parked: Parked
    why: str


async def read(bootstrap: str, topics: Sequence[Topic]) -> list[Parked]:
    """All that is parked on these dead letter topics, oldest first."""
    found: list[Parked] = []
    replayed: dict[tuple[str, str], int] = {}
    places = [TopicPartition(topic.full_name, number) for topic in topics for number in range(topic.partitions)]
    async for record in _records(bootstrap, dict.fromkeys(places, 0)):
        headers = {name: value or b"" for name, value in record.headers}
        mark = marked(headers)
        parking = parking_of(headers)
        if mark is not None:
            place, at = mark
            replayed[record.topic, place] = at
        elif parking is not None:
            found.append(
                Parked(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    key=record.key or b"",
                    value=record.value,
                    headers=list(headers.items()),
                    parking=parking,
                )
            )
    found = [replace(parked, replayed_at=replayed.get((parked.topic, parked.place), 0)) for parked in found]
    return sorted(found, key=lambda parked: (parked.parking.parked_at, parked.topic, parked.partition, parked.offset))


async def replay(
    bootstrap: str,
    topics: Topics,
    codec: Codec,
    producer: RecordProducer,
    chosen: Sequence[Parked],
    done: Callable[[], None] = lambda: None,
) -> list[Skipped]:
    """Write records back to the topics that they stood on, under the same key, bytes and ids; then mark them as replayed.

    Skipped is what still cannot be read, and on a compacted topic what a newer record of the same key has superseded.
    Dying in between may leave a record replayed and not marked: a second replay writes the same ids.
    """
    skipped: list[Skipped] = []
    superseded = await _superseded(bootstrap, topics, chosen)
    for parked in chosen:
        why = "a newer record of its key stands on the compacted topic" if parked in superseded else ""
        try:
            await codec.decode(parked.value)
        except UnreadableRecord as error:
            why = f"it still cannot be read: {error}"
        if why:
            skipped.append(Skipped(parked, why))
        else:
            await producer.send_outgoing([restored(parked)])
            await producer.send_outgoing([replay_marker(parked, int(time.time() * 1000))])
        done()
    return skipped


async def _superseded(bootstrap: str, topics: Topics, chosen: Sequence[Parked]) -> list[Parked]:
    starts: dict[TopicPartition, int] = {}
    compacted = [parked for parked in chosen if _is_compacted(topics, parked.parking.topic)]
    for parked in compacted:
        place = TopicPartition(parked.parking.topic, parked.parking.partition)
        starts[place] = min(starts.get(place, parked.parking.offset), parked.parking.offset)
    newest: dict[tuple[TopicPartition, bytes], int] = defaultdict(lambda: -1)
    if starts:
        async for record in _records(bootstrap, starts):
            newest[TopicPartition(record.topic, record.partition), record.key or b""] = record.offset
    return [
        parked
        for parked in compacted
        if newest[TopicPartition(parked.parking.topic, parked.parking.partition), parked.key] > parked.parking.offset
    ]


def _is_compacted(topics: Topics, full_name: str) -> bool:
    try:
        return topics.by_full_name(full_name).cleanup == "compact"
    except UnknownTopic:
        return False


async def _records(bootstrap: str, starts: Mapping[TopicPartition, int]) -> AsyncIterator[ConsumerRecord]:
    """The partitions' records from these offsets to their present ends. Partitions that do not exist are left out.

    What a broken transaction parked is parked again by whoever went on: only the committed one is counted and replayed.
    """
    kafka = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # The ends are those of the last finished transactions, too.
    )
    try:
        await kafka.start()
        existing = await kafka.topics()
        starts = {place: start for place, start in starts.items() if place.topic in existing}
        if not starts:
            return
        begins, ends = await kafka.beginning_offsets(list(starts)), await kafka.end_offsets(list(starts))
        left = {place: end for place, end in ends.items() if end > max(begins[place], starts[place])}
        kafka.assign(list(left))
        for place in left:
            kafka.seek(place, max(begins[place], starts[place]))
        while left:
            for place, records in (await kafka.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record
            for place in list(left):
                if await kafka.position(place) >= ends[place]:
                    del left[place]
    finally:
        await kafka.stop()
