"""Source text of a function in the making: lines, locals and constants that have numbers for names."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Source:
    """A function's text. Nothing from outside becomes text: values are constants, names are counted."""

    def __init__(self, signature: str, **known: Any) -> None:
        self._lines = [f"{signature}:"]
        self._depth = 1
        self._locals = 0
        self._constants: dict[str, Any] = dict(known)

    def line(self, text: str) -> None:
        """Add a line at the present depth."""
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines below a head such as `if n`."""
        self.line(f"{head}:")
        self._depth += 1
        yield
        self._depth -= 1

    def local(self) -> str:
        """A name that no other local has."""
        self._locals += 1
        return f"v{self._locals}"

    def constant(self, value: Any) -> str:
        """The name under which the function finds a value."""
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    @property
    def text(self) -> str:
        """The source, to be read by people."""
        return "\n".join(self._lines) + "\n"

    def compiled(self, name: str) -> Callable[..., Any]:
        """The function; its signature must have that name."""
        scope: dict[str, Any] = {"__builtins__": builtins, **self._constants}
        exec(compile(self.text, f"<avro {name}>", "exec"), scope)  # noqa: S102 - text made here only, see the class.
        function: Callable[..., Any] = scope[name]
        return function
