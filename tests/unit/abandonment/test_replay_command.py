"""`trolleybus replay` over files."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.abandonment.commands.replay import replay
from services.abandonment.domain.activity import activity_of
from services.abandonment.rehearsal.recording import (
    Arrived,
    Heading,
    heading_line,
    read_line,
    record_line,
    settings_line,
)
from tests.unit.abandonment.records import DAY, HOUR, MINUTE, START, STORE, activity, euros, line
from tests.unit.abandonment.reference import Log, told_by_the_reference
from tests.unit.abandonment.test_engine_against_the_reference import CONFIGS, logs
from trolleybus.cli import CommandError
from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.stores import StoreConfig, StoreKey

app = typer.Typer()
app.command()(replay)

SETTING = {"type": "StoreConfig", "store_id": STORE, "version": 1, "currency": "EUR", "levels": [900, 3600]}


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def error_of(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, CommandError), result.output
    return str(result.exception)


def facts_of(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def counts(*arguments: str | Path) -> dict[tuple[str, int], int]:
    return {(row["fact"], row["level_seconds"]): row["count"] for row in facts_of(*arguments)["facts"]}


def write(path: Path, *objects: dict[str, Any] | bytes) -> Path:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in objects]
    path.write_bytes(b"".join(one.rstrip(b"\n") + b"\n" for one in lines))
    return path


def plain(record: CartActivity, **more: Any) -> dict[str, Any]:
    return {"type": "CartActivity", **asdict(record), **more}


def bought(cart: str, currency: str = "EUR", at: int = 0) -> list[dict[str, Any]]:
    """A cart of one item that is left for an hour and then bought."""
    price = {"minor": 1250, "currency": currency}
    lines = [{"line_id": "a", "quantity": 2, "unit_price": price}]
    first = {"id": f"{cart}-1", "kind": "snapshot", "occurred_at": START + at, "lines": lines, "currency": currency}
    order = {"id": f"{cart}-2", "kind": "order_placed", "occurred_at": START + at + 2 * HOUR, "order_id": cart}
    common = {"store_id": STORE, "cart_id": cart, "config_version": 1}
    return [{**common, **first}, {**common, **order, "total": {"minor": 2600, "currency": currency}}]


@given(logs(imports=True), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_P2_a_file_gives_the_ids_of_the_reference(log: Log, placed: bool, compressed: bool) -> None:
    lines = [settings_line(config) for config in CONFIGS.values()]
    for offset, (arrival, record) in enumerate(log):
        of_then = replace(record, received_at=arrival)
        own = json.dumps(plain(of_then)).encode() + b"\n"
        lines.append(record_line(of_then, 3, offset, arrival) if placed else own)
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "log", Path(folder) / "facts"
        file.write_bytes(gzip.compress(b"".join(lines)) if compressed else b"".join(lines))
        facts_of(file, "--out", out, "--until", "2027-02-24T00:00Z")
        told = [json.loads(one) for one in out.read_text().splitlines()]
    expected = told_by_the_reference(log, CONFIGS, int(datetime(2027, 2, 24, tzinfo=UTC).timestamp() * 1000))
    assert sorted((one["type"], one["id"]) for one in told) == sorted(
        fact[:2] for facts in expected.values() for fact in facts
    )


@given(
    st.builds(
        CartActivity,
        id=st.text(max_size=5),
        kind=st.text(max_size=5),
        occurred_at=st.integers(-(2**63), 2**63 - 1),
        imported=st.booleans(),
        received_at=st.integers(0, 10),
        marks=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        identities=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        email=st.text(max_size=5),
        lines=st.lists(st.builds(line, st.text(max_size=3), st.integers(-9, 9)), max_size=2).map(tuple),
        discount=st.builds(euros, st.integers(-5, 5)),
    ),
    st.integers(1, 20),
)
def test_a_recorded_record_is_read_back_as_it_was(record: CartActivity, arrival: int) -> None:
    found = read_line(record_line(record, 3, 17, arrival), 1)
    told = record.received_at or record.occurred_at
    assert found == Arrived(activity_of(record), told if record.imported else arrival, (3, 17))  # type: ignore[arg-type]  # a place is a pair


def test_the_summary_counts_by_level_and_sums_by_currency(tmp_path: Path) -> None:
    file = write(tmp_path / "log.jsonl", SETTING, *bought("one"), *bought("two", "JPY"), *bought("three"))
    result = run(file)
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in result.stdout.splitlines() if "│" in row]
    assert rows == [
        ["CartAbandoned", "15m", "3", "50.00 EUR, 2500 JPY"],
        ["CartAbandoned", "1h", "3", "50.00 EUR, 2500 JPY"],
        ["CartRecovered", "", "3", "52.00 EUR, 2600 JPY"],
    ]
    assert "records: 6 applied" in result.stdout


def test_two_stores_have_rows_of_their_own_and_one_can_be_chosen(tmp_path: Path) -> None:
    other = [{**one, "store_id": "store-2"} for one in (SETTING, *bought("one"))]
    file = write(tmp_path / "log.jsonl", SETTING, *bought("one"), *other)
    assert {(row["store_id"], row["count"]) for row in facts_of(file)["facts"]} == {(STORE, 1), ("store-2", 1)}
    chosen = facts_of(file, "--store", "store-2")
    assert {row["store_id"] for row in chosen["facts"]} == {"store-2"}
    assert chosen["records"] == {"applied": 2, "left out": 2}
    assert "store-2" in run(file).stdout
    assert STORE not in run(file, "--store", "store-2").stdout


def test_other_levels_and_an_earlier_end_can_be_tried(tmp_path: Path) -> None:
    file = write(tmp_path / "log.jsonl", SETTING, *bought("one"))
    assert counts(file) == {("CartAbandoned", 900): 1, ("CartAbandoned", 3600): 1, ("CartRecovered", 0): 1}
    assert counts(file, "--levels", "5m, 1800") == {
        ("CartAbandoned", 300): 1,
        ("CartAbandoned", 1800): 1,
        ("CartRecovered", 0): 1,
    }
    assert counts(file, "--levels", "3h") == {}
    assert counts(file, "--until", "2027-01-15T08:20:00Z") == {("CartAbandoned", 900): 1}


def test_settings_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    file, stores = write(tmp_path / "log.jsonl", *bought("one")), write(tmp_path / "stores.jsonl", SETTING)
    assert facts_of(file)["rejects"] == {"UnknownStore": 2}
    assert counts(file, "--stores", stores)[("CartAbandoned", 900)] == 1
    assert counts(file, "--levels", "900") == {("CartAbandoned", 900): 1, ("CartRecovered", 0): 1}
    write(stores, SETTING, b'{"type": "StoreConfig", "levels": "many"}')
    assert error_of(file, "--stores", stores).startswith(f"{stores}:2: Expected `array`, got `str`")


def test_silence_is_told_up_to_where_the_recording_is_whole(tmp_path: Path) -> None:
    first = bought("one")[0]
    whole = heading_line(Heading(until=START + 30 * MINUTE))
    assert counts(write(tmp_path / "short.jsonl", SETTING, first)) == {}
    assert counts(write(tmp_path / "long.jsonl", whole, SETTING, first)) == {("CartAbandoned", 900): 1}


def test_lines_that_cannot_be_used_are_counted_listed_and_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    absurd = plain(activity("lines_added", 0, line("a", quantity=10**7)))
    file = write(
        tmp_path / "log.jsonl", SETTING, b"{", b"", {"type": "Order"}, {"occurred_at": "noon"}, absurd, *bought("one")
    )
    rejects = tmp_path / "rejects.jsonl"
    result = run(file, "--rejects", rejects)
    assert "4 lines could not be used: unreadable 3, Rejected 1" in result.stdout
    assert f"  {file}:2: unreadable: Input data was truncated" in result.stdout
    assert f"all of them are in {rejects}" in result.stdout
    listed = [json.loads(one) for one in rejects.read_text().splitlines()]
    assert [(one["line"], one["reason"]) for one in listed] == [
        (2, "unreadable"),
        (4, "unreadable"),
        (5, "unreadable"),
        (6, "Rejected"),
    ]
    assert listed[0]["record"] == "{"
    assert "'Order'" in listed[1]["detail"]
    assert "$.occurred_at" in listed[2]["detail"]
    assert rejects.stat().st_mode & 0o777 == 0o600
    assert counts(file)[("CartRecovered", 0)] == 1


def test_what_is_no_recording_is_refused_with_file_and_line(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none") == f"{tmp_path / 'none'} cannot be read: No such file or directory"
    assert error_of(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    file = write(tmp_path / "page.html", b"<html>")
    assert error_of(file).startswith(f"{file}:1: this is no recording: ")
    whole = gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in (SETTING, *bought("one") * 50)))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole[:-20])
    assert error_of(cut).startswith(f"{cut}:")
    assert "cannot be read on" in error_of(cut)
    unordered = write(tmp_path / "unordered.jsonl", SETTING, *bought("one", at=5 * DAY), *bought("two"))
    assert error_of(unordered).startswith(f"{unordered}:4: the file is not in the order of arrival")


def test_files_are_not_overwritten_without_force_and_stand_only_when_whole(tmp_path: Path) -> None:
    file, out = write(tmp_path / "log.jsonl", SETTING, *bought("one")), tmp_path / "facts.jsonl"
    out.write_text("mine")
    assert error_of(file, "--out", out) == f"{out} is there already: name another file, or add --force to replace it"
    write(tmp_path / "bad.jsonl", b"<html>")
    assert error_of(tmp_path / "bad.jsonl", "--out", out, "--force")
    assert out.read_text() == "mine"
    facts_of(file, "--out", out, "--force")
    told = [json.loads(one) for one in out.read_text().splitlines()]
    assert [one["type"] for one in told] == ["CartAbandoned", "CartAbandoned", "CartRecovered"]
    assert told[0]["due_at"] == told[0]["fired_at"] == START + 15 * MINUTE
    assert told[0]["lines"][0]["unit_price"] == {"minor": 1250, "currency": "EUR"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "facts.jsonl", "log.jsonl"]


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--levels", "15x", "15m, 1h or 2d, or 900 for seconds"),
        ("--levels", "0", "a level is at least one second"),
        ("--until", "tomorrow", "is no time such as 2026-03-01"),
    ],
)
def test_a_wrong_option_is_explained(tmp_path: Path, option: str, value: str, told: str) -> None:
    result = run(write(tmp_path / "log.jsonl", SETTING), option, value)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_the_hashes_of_a_stores_keys_are_not_recorded() -> None:
    config = StoreConfig(store_id=STORE, version=2, keys=(StoreKey(key_id="k", hash="f" * 64),), active=False)
    recorded = settings_line(config)
    assert b"ffff" not in recorded
    assert read_line(recorded, 1) == replace(config, keys=())
