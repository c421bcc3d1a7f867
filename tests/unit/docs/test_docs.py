"""The documents are true: links lead somewhere; commands, options, topics and files that they name exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from trolleybus import cli
from trolleybus.topics import DAY_MS, Topic, Topics

ROOT = Path(__file__).parents[3]
ARCHITECTURE = ROOT / "docs" / "architecture.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|\s)(?:\.venv/bin/)?trolleybus (.+)")
FULL_TOPIC = re.compile(r"[a-z]+(?:\.[a-z]+)*\.(?:v\d+|dlt)")
LOGICAL_TOPIC = re.compile(r"(?:cart|customer|messaging|recovery)\.[a-z]+")
HOUSE = ("deploy/", "docs/", "schemas/", "services/", "tests/", "tools/", "trolleybus/")


def documents() -> list[Path]:
    """Every Markdown file that is ours: vendored ones are other projects'."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split() if "/vendor/" not in name and (ROOT / name).exists()]


def in_each_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))


def code_in(text: str) -> Iterator[str]:
    """Inline code, and each line of the blocks that a shell would run."""
    for language, block in FENCE.findall(text):
        if language in {"bash", "sh"}:
            yield from block.replace("\\\n", " ").splitlines()
    yield from INLINE.findall(FENCE.sub("", text))


def anchors_of(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@in_each_document()
def test_every_relative_link_leads_to_a_file_and_a_heading_that_are_there(path: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            dead.append(target)
    assert dead == []


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command as pyproject.toml has it: what is installed may be older."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][cli.GROUP]
    entries = {name: EntryPoint(name, value, cli.GROUP) for name, value in declared.items()}
    monkeypatch.setattr(cli, "_entry_points", lambda: entries)
    return typer.main.get_command(cli.app)


def fault_in(command: Any, words: list[str]) -> str:
    """What is wrong with a command's words; "" if nothing is. Values are not looked at."""
    path = ["trolleybus"]
    for word in words:
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {"--help", *(name for part in command.params for name in (*part.opts, *part.secondary_opts))}
            if option not in known:
                return f"{' '.join(path)} has no option {option}"
        elif hasattr(command, "get_command"):
            found = command.get_command(None, word)
            if found is None:
                return f"{' '.join(path)} has no command {word}"
            path.append(word)
            command = found
    return f"{' '.join(path)} is unavailable" if (command.help or "").startswith("Unavailable") else ""


@in_each_document()
def test_every_command_that_is_named_exists_with_its_options(path: Path, command_line: Any) -> None:
    wrong = []
    for code in code_in(path.read_text()):
        found = COMMAND.search(code)
        if found and "…" not in code and found[1][0] != "(":
            words = shlex.split(found[1].partition(" > ")[0], comments=True)
            fault = fault_in(command_line, words)
            if fault:
                wrong.append(f"{code.strip()}: {fault}")
    assert wrong == []


def test_the_check_of_commands_finds_what_does_not_exist(command_line: Any) -> None:
    assert fault_in(command_line, ["stack", "fly"]) == "trolleybus stack has no command fly"
    assert fault_in(command_line, ["stack", "up", "--loud"]) == "trolleybus stack up has no option --loud"
    assert fault_in(command_line, ["dlt", "show", "campaigns.orders.dlt", "--clear"]) == ""


@in_each_document()
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for code in code_in(path.read_text())
        if code.startswith("make ")
        for word in shlex.split(code.partition("#")[0])[1:]
        if "=" not in word
    }
    assert named <= targets


@in_each_document()
def test_every_topic_that_is_named_exists(path: Path) -> None:
    topics = Topics.load()
    full = {topic.full_name for topic in (*topics, *topics.dead_letters())}
    logical = {topic.name for topic in topics}
    named = [part for code in code_in(path.read_text()) for part in re.split(r"[\s:]+", code)]
    unknown = [name for name in named if FULL_TOPIC.fullmatch(name) and name not in full]
    unknown += [name for name in named if LOGICAL_TOPIC.fullmatch(name) and name not in logical]
    assert unknown == []


@in_each_document()
def test_every_file_of_the_project_that_is_named_exists(path: Path) -> None:
    named = [code for code in INLINE.findall(FENCE.sub("", path.read_text())) if code.startswith(HOUSE)]
    assert [name for name in named if not re.search(r"[<>{}*… ]", name) and not (ROOT / name).exists()] == []


def row_of(topic: Topic) -> str:
    kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY_MS} d"
    cells = (
        f"`{topic.full_name}`{' ‖' if topic.barrier else ''}",
        ":".join(topic.key),
        ", ".join(record.__name__ for record in topic.records),
        "compacted" if topic.cleanup == "compact" else kept,
        ", ".join(topic.written_by),
        ", ".join(topic.read_by),
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_of_topics_is_that_of_topics_yaml() -> None:
    lines = [line for line in ARCHITECTURE.read_text().splitlines() if re.match(r"\| `[a-z.]+\.v\d+`", line)]
    assert lines == [row_of(topic) for topic in Topics.load()]


def test_each_promise_is_proved_by_every_test_file_that_is_named_beside_it() -> None:
    rows = dict(re.findall(r"^\| \*\*(P\d)\*\* .*\| (.+) \|$", ARCHITECTURE.read_text(), re.MULTILINE))
    assert sorted(rows) == [f"P{number}" for number in range(1, 9)]
    unproved = [
        f"{promise}: {name}"
        for promise, cell in rows.items()
        for name in INLINE.findall(cell)
        if not re.search(rf"def test_(?:P\d_)*{promise}_", (ROOT / name).read_text())
    ]
    assert unproved == []


def test_the_list_of_decisions_is_whole_and_each_has_its_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(folder.glob("[0-9]*.md"))
    listed = LINK.findall((folder / "README.md").read_text())
    assert [page.name for page in pages] == list(dict.fromkeys(listed[1:]))
    for number, page in enumerate(pages, start=1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


@in_each_document()
def test_every_example_in_python_json_or_yaml_can_be_read(path: Path) -> None:
    for language, block in FENCE.findall(path.read_text()):
        if language == "python":
            compile(block, str(path), "exec")
        elif language in {"json", "yaml"}:
            assert yaml.safe_load(block) is not None
