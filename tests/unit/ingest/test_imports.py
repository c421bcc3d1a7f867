"""Importing history: lines to records, what is kept of the way, and going on after an end in between."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.ingest.adapters.seam import Refused
from services.ingest.domain.settlement import sighting_for_today, sighting_of
from services.ingest.domain.translation import Canonical, Translation
from services.ingest.imports.formats import FORMATS, read
from services.ingest.imports.importer import BATCH, Importer
from services.ingest.imports.journal import Journal, NotTheSame, Progress
from services.ingest.imports.lines import LONGEST_LINE, BadFile, Lines
from tests.unit.ingest.given import STORE, arrival
from tests.unit.ingest.segment_calls import GAME, ORDER, track
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.orders import OrderPlaced
from trolleybus.contracts.partition import partition_of
from trolleybus.envelope import Outgoing
from trolleybus.producer import KafkaUnavailable

CART = {
    "event": "cart_updated",
    "event_id": "e1",
    "occurred_at": "2024-05-01T10:00:00Z",
    "cart_id": "c1",
    "anonymous_id": "a1",
    "lines": [{"product_id": "mug", "unit_price": "12.50"}],
}
ORDERED = {"order_id": "o1", "occurred_at": "2024-05-01T11:00:00Z", "anonymous_id": "a1", "total": "12.50"}
PERSON = {"event_id": "p1", "occurred_at": "2024-05-01T09:00:00Z", "customer_id": "u1", "email": "shopper@example.com"}


class Topics:
    """What was sent, as records; gives up after so many calls."""

    def __init__(self, calls: int = 1000) -> None:
        self.calls = calls
        self.sent: list[Canonical] = []
        self.keys: list[bytes] = []
        self._records: dict[bytes, Canonical] = {}

    def wrap(self, record: Canonical) -> Outgoing:
        value = f"{record.id}".encode()
        self._records[value] = record
        return Outgoing("topic", b"key", value, ())

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise KafkaUnavailable("gone")
        self.sent += [self._records[one.value or b""] for one in outgoing]
        self.keys += [one.key for one in outgoing]


def told(line: Any, name: str = "native") -> Translation:
    return read(json.dumps(line).encode(), FORMATS[name], arrival(is_public=False))


def written(path: Path, lines: Sequence[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


async def import_(path: Path, topics: Topics, name: str = "native") -> Progress:
    journal = Journal(path)
    with Lines(path) as lines:
        importer = Importer(FORMATS[name], arrival(is_public=False), topics.wrap, topics.send, journal)
        return await importer.run(lines, journal.begin(STORE.store_id, name), lambda _: None)


# --- lines


def test_lines_are_numbered_and_empty_ones_skipped_in_plain_and_gzip(tmp_path: Path) -> None:
    text = b"one\n\n  two  \r\nthree"
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    for name in ("plain", "packed"):
        with Lines(tmp_path / name) as lines:
            assert list(lines) == [(1, b"one"), (3, b"two"), (4, b"three")]
            assert lines.position() == lines.size


def test_a_line_without_end_is_left_out_and_the_next_one_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (3 * LONGEST_LINE) + b"\nnext\n")
    with Lines(tmp_path / "file") as lines:
        assert list(lines) == [(1, None), (2, b"next")]


def test_a_file_that_is_not_there_or_breaks_off_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        Lines(tmp_path / "nothing")
    (tmp_path / "half").write_bytes(gzip.compress(b"one\n" * 10_000)[:-20])
    with Lines(tmp_path / "half") as lines, pytest.raises(BadFile, match="beyond line"):
        list(lines)


# --- formats


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z"])
def test_an_event_of_a_clock_that_nobody_set_is_refused_or_taken_by_its_other_time(never: str) -> None:
    with pytest.raises(Refused, match="2000 or later"):
        told({**CART, "occurred_at": never})
    sent_at = told({**CART, "occurred_at": never, "sent_at": CART["occurred_at"]}).records[-1]
    assert sent_at.received_at == told(CART).records[-1].received_at
    with pytest.raises(Refused, match="2000 or later"):
        told(track("Product Added", GAME, timestamp=never, originalTimestamp=never, sentAt=None), "segment")


def test_a_cart_of_the_past_links_its_shopper_and_is_nobodys_open_cart_today() -> None:
    one = told({**CART, "email": "shopper@example.com"})
    then, today = sighting_of(one), sighting_for_today(one)
    assert then is not None
    assert today is not None
    assert (then.cart_id, today.cart_id) == ("c1", "")
    assert then.identities == today.identities
    assert sighting_for_today(told(CART)) is None


@pytest.mark.parametrize(("line", "kind"), [(CART, CartActivity), (ORDERED, OrderPlaced), (PERSON, CustomerUpdated)])
def test_a_native_line_is_a_body_of_its_endpoint_and_arrived_when_it_happened(line: dict[str, Any], kind: type) -> None:
    record = told(line).records[0]
    assert isinstance(record, kind)
    assert all(one.imported for one in told(line).records)
    assert record.occurred_at < 1_714_600_000_000


@pytest.mark.parametrize(
    ("line", "name", "field"),
    [
        (b"{", "native", ""),
        (b"[]", "native", ""),
        (None, "native", ""),
        (b"\xff", "segment", ""),
        (json.dumps({**CART, "occurred_at": None}).encode(), "native", "/occurred_at"),
        (
            json.dumps({**CART, "lines": [{"product_id": "mug", "quantity": -1}]}).encode(),
            "native",
            "/lines/0/quantity",
        ),
        (json.dumps({**CART, "event": "cart_dropped"}).encode(), "native", "/event"),
        (json.dumps(track("Product Added", GAME, timestamp=None, sentAt=None)).encode(), "segment", "/timestamp"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_its_field(line: bytes | None, name: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        read(line, FORMATS[name], arrival())
    assert [flaw.field for flaw in refused.value.errors] == [field]


# --- the way


async def test_an_import_sends_what_can_be_used_and_lists_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path / "file", [CART, "{", ORDERED, {**CART, "event": "no"}, PERSON])
    topics = Topics()
    progress = await import_(path, topics)
    assert (progress.lines, progress.rejects, progress.records) == (5, 2, len(topics.sent))
    rejects = [json.loads(line) for line in Journal(path).rejects.read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [2, 4]
    assert rejects[0]["errors"][0]["detail"].startswith("not JSON")
    assert rejects[1]["errors"][0]["field"] == "/event"


async def test_an_order_of_the_file_ends_the_cart_that_its_shopper_had_in_the_file(tmp_path: Path) -> None:
    calls: list[Any] = [
        track("Product Added", {**GAME, "cart_id": "c-9"}, messageId="1", timestamp="2024-05-01T10:00:00Z"),
        track("Order Completed", ORDER, messageId="2", timestamp="2024-05-01T11:00:00Z"),
    ]
    topics = Topics()
    await import_(written(tmp_path / "file", calls), topics, "segment")
    (ended,) = [one for one in topics.sent if isinstance(one, CartActivity) and one.kind == "order_placed"]
    assert ended.cart_id == "c-9"


async def test_an_imports_orders_are_acknowledged_before_the_cart_activity_they_end(tmp_path: Path) -> None:
    topics = Topics(calls=1)
    with pytest.raises(KafkaUnavailable):
        await import_(written(tmp_path / "file", [CART, ORDERED]), topics)
    assert [type(one) for one in topics.sent] == [OrderPlaced]


async def test_P1_an_import_that_was_cut_off_goes_on_and_ends_with_the_same_records(tmp_path: Path) -> None:
    """The cart is known from before the cut although its lines are not sent again."""
    count = 3 * BATCH
    calls: list[Any] = [
        track("Product Added", {**GAME, "cart_id": "c-9"}, messageId=f"m{number}", timestamp="2024-05-01T10:00:00Z")
        for number in range(count - 1)
    ]
    calls.insert(1, "{")
    calls.append(track("Order Completed", ORDER, messageId="last", timestamp="2024-05-01T11:00:00Z"))
    whole, cut = written(tmp_path / "whole", calls), written(tmp_path / "cut", calls)
    expected = Topics()
    await import_(whole, expected, "segment")
    first, second = Topics(calls=2), Topics()
    with pytest.raises(KafkaUnavailable):
        await import_(cut, first, "segment")
    assert len(first.sent) == 2 * BATCH - 1
    progress = await import_(cut, second, "segment")
    assert first.sent + second.sent == expected.sent
    assert (progress.lines, progress.rejects) == (count + 1, 1)
    assert Journal(cut).rejects.read_bytes() == Journal(whole).rejects.read_bytes()


async def test_rejects_of_lines_that_are_read_again_are_listed_once(tmp_path: Path) -> None:
    carts = [{**CART, "event_id": f"e{number}"} for number in range(BATCH)]
    path = written(tmp_path / "file", ["{", *carts, "["])
    with pytest.raises(KafkaUnavailable):
        await import_(path, Topics(calls=1))
    journal = Journal(path)
    with journal.rejects.open("a") as rejects:  # As a process leaves it that ends before its progress stands.
        rejects.write('{"line": 502, "errors": []}\n')
    await import_(path, Topics())
    lines = [json.loads(line)["line"] for line in journal.rejects.read_text().splitlines()]
    assert lines == [1, BATCH + 2]


async def test_the_way_of_another_import_is_not_gone_on(tmp_path: Path) -> None:
    path = written(tmp_path / "file", [CART])
    await import_(path, Topics())
    with pytest.raises(NotTheSame, match="delete it"):
        Journal(path).begin("store-2", "native")
    written(path, [CART, CART])
    with pytest.raises(NotTheSame, match="another content"):
        Journal(path).begin(STORE.store_id, "native")


async def test_the_end_is_told_on_every_partition_once(tmp_path: Path) -> None:
    path = written(tmp_path / "file", [CART])
    topics = Topics()
    journal = Journal(path)
    importer = Importer(FORMATS["native"], arrival(), topics.wrap, topics.send, journal)
    progress = await importer.end(journal.begin(STORE.store_id, "native"), 12, 1_780_000_000_000)
    assert sorted(partition_of(key, 12) for key in topics.keys) == list(range(12))
    assert {(one.kind, one.cart_id) for one in topics.sent if isinstance(one, CartActivity)} == {("import_ended", "")}
    assert len({one.id for one in topics.sent}) == 12
    assert progress.is_ended
    assert journal.begin(STORE.store_id, "native").is_ended
