"""Topics read from their beginning to an end, across partitions in the order of arrival."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition


async def in_order(
    kafka: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord]:
    """Records from `starts` to below `ends`, the earliest appended first. The consumer has the partitions assigned."""
    waiting: dict[TopicPartition, deque[ConsumerRecord]] = {}
    for place, start in starts.items():
        if start < ends[place]:
            kafka.seek(place, start)
            waiting[place] = deque()
    heap: list[tuple[int, str, int, TopicPartition]] = []

    def push(place: TopicPartition) -> None:
        first = waiting[place][0]
        heapq.heappush(heap, (first.timestamp, place.topic, place.partition, place))

    empty = set(waiting)
    while waiting:
        while empty:  # None may be passed over: the earliest may be its.
            for place, records in (await kafka.getmany(*empty, timeout_ms=500)).items():
                waiting[place].extend(record for record in records if record.offset < ends[place])
            for place in list(empty):
                if waiting[place]:
                    push(place)
                    empty.discard(place)
                elif await kafka.position(place) >= ends[place]:
                    del waiting[place]
                    empty.discard(place)
        if heap:
            *_, place = heapq.heappop(heap)
            yield waiting[place].popleft()
            if waiting[place]:
                push(place)
            else:
                empty.add(place)
