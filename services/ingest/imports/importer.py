"""Lines to records on Kafka, batch by batch; each is acknowledged before the journal says so."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from services.ingest.adapters.seam import Arrival, Refused
from services.ingest.domain.persons import Acquaintances, Standing, standing
from services.ingest.domain.settlement import settled, sighting_of
from services.ingest.domain.translation import Canonical, Flaw, Translation
from services.ingest.imports.formats import Format, read
from services.ingest.imports.journal import Journal, Progress
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.partition import partition_of
from trolleybus.envelope import Outgoing

BATCH = 500

Send = Callable[[Sequence[Outgoing]], Awaitable[None]]
Wrap = Callable[[Canonical], Outgoing]


class Importer:
    """One file's way to the topics of a store.

    Carts are tied within the file alone, never to what shoppers have open today. Lines that were sent before are read
    again, so that an import that goes on knows all that it knew.
    """

    def __init__(self, take: Format, arrival: Arrival, wrap: Wrap, send: Send, journal: Journal) -> None:
        self._take = take
        self._arrival = arrival
        self._wrap = wrap
        self._send = send
        self._journal = journal
        self._known = Acquaintances(lambda _: None)

    async def run(
        self, lines: Iterable[tuple[int, bytes | None]], progress: Progress, told: Callable[[Progress], None]
    ) -> Progress:
        """All lines after the progress; `told` hears of each batch that Kafka has. Raises KafkaUnavailable."""
        done = progress.line
        records: list[Canonical] = []
        rejected: list[tuple[int, Sequence[Flaw]]] = []
        for number, line in lines:
            try:
                translation = self._settled(read(line, self._take, self._arrival))
            except Refused as refused:
                if number > done:
                    rejected.append((number, refused.errors))
            else:
                if number > done:
                    records += translation.records
            if number <= done:
                continue
            progress = replace(progress, line=number, lines=progress.lines + 1)
            if progress.lines % BATCH == 0:
                progress = await self._keep(progress, records, rejected)
                records, rejected = [], []
                told(progress)
        return await self._keep(progress, records, rejected)

    async def end(self, progress: Progress, partitions: int, now: int) -> Progress:
        """Tell the detector that no more history comes: carts that were left then are told of as of then."""
        await self._send([self._end_of(partition, partitions, progress.file, now) for partition in range(partitions)])
        return self._journal.keep(replace(progress, is_ended=True), ())

    def _settled(self, translation: Translation) -> Translation:
        identities = translation.identities
        found = standing(self._known.person, identities) if identities else Standing()
        one = settled(translation, found)
        if (sighting := sighting_of(one)) is not None:
            self._known.see(sighting)
        return one

    async def _keep(
        self, progress: Progress, records: Sequence[Canonical], rejected: Sequence[tuple[int, Sequence[Flaw]]]
    ) -> Progress:
        """Orders before the cart activity that they end, as the gateway has it."""
        for of_carts in (False, True):
            phase = [self._wrap(record) for record in records if isinstance(record, CartActivity) is of_carts]
            if phase:
                await self._send(phase)
        return self._journal.keep(replace(progress, records=progress.records + len(records)), rejected)

    def _end_of(self, partition: int, partitions: int, file: str, now: int) -> Outgoing:
        store = self._arrival.store
        event = ids.source_event(store.store_id, "import", file)
        ended = CartActivity(
            id=ids.record_of(event, "import_ended", partition),
            store_id=store.store_id,
            occurred_at=now,
            received_at=now,
            imported=True,
            source="import",
            source_event_id=file,
            config_version=store.version,
            kind="import_ended",
        )
        return replace(self._wrap(ended), key=_key_on(store.store_id, partition, partitions))


def _key_on(store_id: str, partition: int, partitions: int) -> bytes:
    """A key of no cart that stands on a partition."""
    number = 0
    while partition_of(key := f"{store_id}::{number}".encode(), partitions) != partition:
        number += 1
    return key
