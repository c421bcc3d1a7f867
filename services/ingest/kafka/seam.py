"""What the sender asks of a Kafka producer, whichever it is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trolleybus.envelope import Outgoing


class QueueFull(Exception):
    """librdkafka holds as much as it may; not all was sent, a retry carries the same ids."""


class Failed(Exception):
    """librdkafka refused. The code is its own (rd_kafka_resp_err_t); after what is fatal it takes no record any more."""

    def __init__(self, code: int, text: str, *, is_fatal: bool) -> None:
        super().__init__(text)
        self.code = code
        self.is_fatal = is_fatal


class Parcelled(Protocol):
    """A record whose value, key and headers are in one run of bytes; see `parcel`."""

    @property
    def topic(self) -> str: ...

    @property
    def parcel(self) -> bytes: ...


class Heard(NamedTuple):
    """What librdkafka told since it was last asked."""

    settled: Sequence[tuple[object, str | None]]
    """Tokens whose records all have their outcome, in the order in which that was heard; each with None where Kafka has
    all of them, else with the first error's text."""
    fatal: str | None
    """Said once: this producer takes no record any more, and why."""
    all_down: bool
    """Whether all connections to brokers were lost; librdkafka tries again by itself."""


NOTHING = Heard((), None, False)


class Kafka(Protocol):
    """A producer. What is logged by librdkafka goes to a logger when it is heard.

    A closed one may be closed again, or asked, and fails then; all else raises RuntimeError.
    """

    def __len__(self) -> int:
        """Records under way, and events not heard yet."""

    def hand_over(self, records: Sequence[Outgoing | Parcelled], token: object) -> None:
        """At least one record. Raises QueueFull, Failed, or ValueError or TypeError for a record that is none: some may have
        been taken and are sent then, and the token is never told. Order is kept within a key."""

    def heard(self) -> Heard:
        """Does not wait."""

    def wake(self, fd: int) -> None:
        """From now on a byte is written to this file, which does not block, when there is something to hear after there was
        nothing; to none where `fd` is negative. A producer that cannot do it does not: who waits looks by the clock too."""

    def purge(self) -> None:
        """Gives up all that is under way; its tokens are told soon after, by `heard`. Does not wait."""

    def ask(self, timeout_s: float) -> None:
        """Returns when a broker answers; raises Failed. Blocks, and may be called in any thread."""

    def close(self) -> None:
        """Ends its threads, forgets what was not heard. Blocks for as long as they need, up to a second or so; may be
        called in any thread. While another thread asks, it returns at once and that thread does it."""
