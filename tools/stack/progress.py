"""How the stack tells what it is doing: one interface, a silent and a terminal form."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

Advance = Callable[[str, int, int], None]


class Narrator(Protocol):
    def say(self, text: str) -> None:
        """A step began or ended."""

    def downloading(self, what: str, files: int) -> AbstractContextManager[Advance]:
        """The block's callable takes (file, bytes since the last call, the file's size)."""


class Silence:
    def say(self, text: str) -> None:
        """Says nothing."""

    @contextmanager
    def downloading(self, what: str, files: int) -> Iterator[Advance]:  # noqa: ARG002  # it ignores them: that is its work
        yield lambda _file, _count, _size: None


class Terminal:
    """Lines and, where the output is a terminal, a bar for downloads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def say(self, text: str) -> None:
        self._console.print(text)

    @contextmanager
    def downloading(self, what: str, files: int) -> Iterator[Advance]:
        self.say(f"Downloading {what} ({files} file{'s' if files > 1 else ''}, once)")
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        sizes: dict[str, int] = {}
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as bars:
            task = bars.add_task(what, total=None)

            def advance(file: str, count: int, size: int) -> None:
                if file not in sizes:
                    sizes[file] = size
                    bars.update(task, total=sum(sizes.values()))
                bars.advance(task, count)

            yield advance
