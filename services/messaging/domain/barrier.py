"""What makes a barrier valid. Offsets decide; the one duration is measured within the process that read the ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trolleybus.contracts.messages import TopicPosition

Place = tuple[str, int]
"""Name of a topic in Kafka, and a partition of it."""

FRESH_SECONDS = 2.0
"""A provider's call begins at most this long after the ends were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """End offsets, all of which the projection has passed."""

    ends: tuple[TopicPosition, ...]
    read_at: int  # Wall clock, ms: for the record, decides nothing.
    tick: float  # Monotonic clock of this process (s), just before the ends were asked for.

    def age(self, tick: float) -> float:
        """Seconds since just before the ends were asked for."""
        return tick - self.tick

    def fresh(self, tick: float) -> bool:
        """Whether a call that begins at `tick` may rely on it."""
        return 0 <= self.age(tick) <= FRESH_SECONDS

    def wall(self, tick: float) -> int:
        """The wall clock's time at `tick`, by the duration since the read."""
        return self.read_at + round(self.age(tick) * 1000)


def above_the_end(positions: Mapping[Place, int], ends: Mapping[Place, int]) -> list[Place]:
    """Places where a position, read before the ends, stands above them: the topic was reset or restored."""
    return sorted(place for place, offset in positions.items() if place in ends and offset > ends[place])


def vector(ends: Mapping[Place, int]) -> tuple[TopicPosition, ...]:
    """The ends as they are written down."""
    return tuple(TopicPosition(topic=topic, partition=part, offset=end) for (topic, part), end in sorted(ends.items()))
