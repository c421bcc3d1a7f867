"""Decisions are pure: a `domain` folder imports itself, the contracts, the standard library and structs; no clock."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "services").glob("**/domain/*.py"))
STRUCTS = "msgspec"
"""Values and their bytes in memory, without any I/O: what the standard library's dataclasses are, where those cost too
much (docs/decisions/0014-msgspec-structs-in-the-detector.md)."""
CLOCKS = {("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("datetime", "now"), ("date", "today")}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def faults(text: str, own: str) -> list[str]:
    tree = ast.parse(text)
    allowed = {*sys.stdlib_module_names, STRUCTS}
    found = [
        f"imports {name}"
        for name in imported(tree)
        if not name.startswith((own, "trolleybus.contracts")) and name.partition(".")[0] not in allowed
    ]
    calls = [
        node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    names = [(call.value.id, call.attr, call.lineno) for call in calls if isinstance(call.value, ast.Name)]
    return found + [f"asks a clock in line {line}" for name, attribute, line in names if (name, attribute) in CLOCKS]


def test_every_service_that_decides_has_a_domain() -> None:
    services = {path.relative_to(ROOT / "services").parts[0] for path in MODULES}
    assert services == {"ingest", "abandonment", "campaigns", "messaging", "analytics"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_domain_module_is_pure(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).parent.parts)
    assert faults(path.read_text(), own) == []


def test_the_check_finds_foreign_imports_and_clocks() -> None:
    text = "import psycopg\nimport time\nfrom services.messaging.store import queue\nx = time.time()\n"
    assert faults(text, "services.messaging.domain") == [
        "imports psycopg",
        "imports services.messaging.store",
        "asks a clock in line 4",
    ]
