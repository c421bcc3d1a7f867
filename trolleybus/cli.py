"""The `trolleybus` command. Sub-commands are entry points, so the library knows no service and a broken one harms no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import typer
from dotenv import dotenv_values
from typer.core import TyperGroup

from trolleybus import __version__
from trolleybus.settings import ServiceSettings, SettingsError

GROUP = "trolleybus.commands"

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class CommandError(Exception):
    """Ends a command with one sentence on stderr and exit code 1."""


def dev_dir() -> Path:
    """Where the local stack keeps its state: TROLLEYBUS_DEV_DIR, else .dev here."""
    return Path(os.environ.get("TROLLEYBUS_DEV_DIR") or ".dev")


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """From the environment; what it does not name comes from the local stack's env file, where there is one."""
    return settings_class.load(dev_dir() / "env")


def environment() -> dict[str, str]:
    """The same for a command that needs a name or two rather than a service's settings."""
    local = {name: value for name, value in dotenv_values(dev_dir() / "env").items() if value is not None}
    return local | dict(os.environ)


class _Commands(TyperGroup):
    """Loads a sub-command only when it is called or listed. Entry points such as `rebuild.facts` make the
    group `rebuild`, to which several services may give a part."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        return sorted({*self.commands, *(name.partition(".")[0] for name in _entry_points())})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        entries = _entry_points()
        entry = entries.get(cmd_name)
        if own is not None or entry is not None:
            return own if entry is None else _command(entry)
        members = {name.partition(".")[2]: one for name, one in entries.items() if name.startswith(f"{cmd_name}.")}
        return _group(cmd_name, members) if members else None


def _group(name: str, members: dict[str, EntryPoint]) -> Any:
    app = typer.Typer(
        help=f"Of each service its part: {', '.join(sorted(members))}.", no_args_is_help=True, add_completion=False
    )
    app.callback()(lambda: None)
    group: Any = typer.main.get_command(app)
    group.name = name
    for member, entry in members.items():
        command = _command(entry)
        command.name = member
        group.add_command(command)
    return group


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _command(entry: EntryPoint) -> Any:
    """A Typer app becomes a group, a function becomes one command, what cannot be loaded becomes its reason."""
    try:
        found = entry.load()
    except Exception as error:  # noqa: BLE001 - whatever breaks one command, the others must work
        return _as_command(_unavailable(entry, f"{type(error).__name__}: {error}"), entry.name)
    return _as_command(found, entry.name)


def _as_command(found: typer.Typer | Callable[..., Any], name: str) -> Any:
    app = found
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(found)
    command = typer.main.get_command(app)
    command.name = name
    return command


def _unavailable(entry: EntryPoint, reason: str) -> typer.Typer:
    app = typer.Typer(add_completion=False)

    @app.command(
        entry.name,
        help=f"Unavailable here ({reason})",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def unavailable() -> None:
        raise CommandError(f"`trolleybus {entry.name}` is unavailable: {entry.value} could not be loaded ({reason})")

    return app


app = typer.Typer(cls=_Commands, name="trolleybus", no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trolleybus {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_show_version, is_eager=True),
) -> None:
    """Cart recovery on Kafka."""


def main() -> None:
    try:
        app(prog_name="trolleybus")
    except (CommandError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is a command
        sys.exit(1)
