"""The clock of one partition: up to which time its silence is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PartitionClock:
    """Publishes what silence makes due, and never before an unread record could say otherwise.

    At the end of the log it is the time at which the fetch that returned that end was sent: whatever is read later was
    appended later. Behind, it is the arrival of the last record. It never runs backwards.
    """

    now: int = 0
    next_offset: int = -1  # Where the next record to apply stands; -1: not known yet.

    def applied(self, offset: int, arrival: int) -> None:
        """A record was applied; 0 as arrival for one that says nothing of the time (imported, unreadable)."""
        self.next_offset = offset + 1
        self.now = max(self.now, arrival)

    def end_seen(self, end_offset: int, sent_at: int) -> None:
        """A fetch sent at that time returned this end of the log."""
        if 0 <= end_offset <= self.next_offset:
            self.now = max(self.now, sent_at)
