import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from tests.unit.library.sample_service import SECRETS, SampleSettings
from trolleybus import __version__, cli

GOOD = "tests.unit.library.test_cli:group"
ROOT = Path(__file__).parents[3]
group = typer.Typer(help="A group of commands.")


@group.command()
def first() -> None:
    typer.echo("first ran")


@group.command()
def second() -> None:
    raise cli.CommandError("the shop is closed: open it with `shop open`")


def single(times: int = 1) -> None:
    """One command."""
    typer.echo("single ran " * times)


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "group": GOOD,
        "single": "tests.unit.library.test_cli:single",
        "gone": "services.nowhere.commands:app",
        "several.one": "tests.unit.library.test_cli:single",
        "several.gone": "services.nowhere.commands:app",
    }
    entries = {name: EntryPoint(name, value, cli.GROUP) for name, value in found.items()}
    monkeypatch.setattr(cli, "_entry_points", lambda: entries)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["trolleybus", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_an_app_is_mounted_and_a_function_is_one_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "group", "first") == 0
    assert run(monkeypatch, "single", "--times", "2") == 0
    assert capsys.readouterr().out == "first ran\nsingle ran single ran \n"


def test_several_services_may_give_their_part_of_one_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "several", "one") == 0
    assert capsys.readouterr().out == "single ran \n"
    assert run(monkeypatch, "several", "gone") == 1
    assert "No module named 'services.nowhere'" in capsys.readouterr().err
    assert run(monkeypatch, "--help") == 0
    assert "Of each service its part: gone, one." in capsys.readouterr().out


def test_a_command_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "group", "second") == 1
    assert capsys.readouterr().err == "the shop is closed: open it with `shop open`\n"


def test_a_command_that_cannot_be_loaded_harms_no_other_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert "A group of commands." in shown
    assert "Unavailable here" in shown
    assert run(monkeypatch, "gone", "--any", "thing") == 1
    assert "ModuleNotFoundError: No module named 'services.nowhere'" in capsys.readouterr().err


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"trolleybus {__version__}\n"


def test_an_unknown_command_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "nothing-like-it") == 2


def test_settings_come_from_the_environment_then_from_the_local_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [f"{name}={value}" for name, value in SECRETS.items()]
    (tmp_path / "env").write_text("\n".join([*lines, "KAFKA_BOOTSTRAP_SERVERS=stack:1", "REDIS_URL=redis://stack"]))
    for name in SampleSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TROLLEYBUS_DEV_DIR", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "mine:1")
    settings = cli.load_settings(SampleSettings)
    assert (settings.kafka_bootstrap_servers, settings.redis_url) == ("mine:1", "redis://stack")
    names = cli.environment()
    assert (names["KAFKA_BOOTSTRAP_SERVERS"], names["REDIS_URL"]) == ("mine:1", "redis://stack")


def test_a_missing_setting_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    code = (
        "import sys; from trolleybus import cli; from tests.unit.library.sample_service import SampleSettings\n"
        "from importlib.metadata import EntryPoint\n"
        "def f(): cli.load_settings(SampleSettings)\n"
        "cli._entry_points = lambda: {'x': type('E', (), {'name': 'x', 'value': 'x', 'load': lambda s: f})()}\n"
        "sys.argv = ['trolleybus', 'x']; cli.main()"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in SampleSettings.model_fields and name != "PYTHONPATH"
    }
    environment |= {"TROLLEYBUS_DEV_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "OPERATOR_TOKEN is not set" in ended.stderr
    assert "Traceback" not in ended.stderr
