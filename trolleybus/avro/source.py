"""Source text of a function in the making: lines, locals and constants that have numbers for names."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from trolleybus.avro.schema import Unsupported


class Source:
    """A function's text. Nothing from outside becomes text: values are constants, names are counted; those of
    attributes are put into the parsed text, where they cannot be anything else."""

    def __init__(self, signature: str, **known: Any) -> None:
        self._lines = [f"{signature}:"]
        self._depth = 1
        self._locals = 0
        self._constants: dict[str, Any] = dict(known)
        self._attributes: dict[str, str] = {}

    def line(self, text: str) -> None:
        """Add a line at the present depth."""
        self._lines.append("    " * self._depth + text)

    def lines(self, expressions: Iterable[str]) -> None:
        """Add the items of a tuple, one a line."""
        for expression in expressions:
            self.line(f"    {expression},")

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

    def attribute(self, name: str) -> str:
        """What to write in the text for an attribute of that name."""
        stand_in = f"a{len(self._attributes)}"
        self._attributes[stand_in] = name
        return stand_in

    @property
    def text(self) -> str:
        """The source, to be read by people."""
        return "\n".join(self._lines) + "\n"

    def compiled(self, name: str) -> Callable[..., Any]:
        """The function; its signature must have that name."""
        scope: dict[str, Any] = {"__builtins__": builtins, **self._constants}
        try:
            tree = ast.parse(self.text)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    node.attr = self._attributes.get(node.attr, node.attr)
            code = compile(tree, f"<avro {name}>", "exec")
        except SyntaxError as error:  # Python nests twenty loops, and a hundred blocks.
            raise Unsupported(f"the schema nests too deep: {error.msg}") from error
        exec(code, scope)  # noqa: S102 - text made here only, see the class.
        function: Callable[..., Any] = scope[name]
        return function
