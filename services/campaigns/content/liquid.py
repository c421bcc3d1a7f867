"""Liquid within limits: what a template may cost in loops, memory, output and time does not depend on who wrote it."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

from liquid import Environment, FalsyStrictUndefined
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

LARGEST_TEMPLATE = 128 * 1024
LARGEST_OUTPUT = 256 * 1024
_LARGEST_TEXT = 64 * 1024  # What goes into a filter or comes out of it, in characters.
_LARGEST_LIST = 10_000
_LARGEST_NUMBER_BITS = 1024
_SECONDS = 2.0  # Never met by a template within the other limits, unless it was written to be slow.
_NOT_OFFERED = ("include", "render")  # Templates stand alone.


class TemplateError(Exception):
    """The template cannot be rendered; `line` counts from 1, 0 where it is not known."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line


class _Context(RenderContext):
    """Looks at the clock at each variable and filter."""

    __slots__ = ("_until",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until = time.monotonic() + _SECONDS

    def get(self, *args: Any, **kwargs: Any) -> object:
        self._look_at_the_clock()
        return super().get(*args, **kwargs)

    def filter(self, *args: Any, **kwargs: Any) -> Callable[..., object]:
        self._look_at_the_clock()
        found: Callable[..., object] = super().filter(*args, **kwargs)
        return found

    def _look_at_the_clock(self) -> None:
        if time.monotonic() > self._until:
            raise LiquidError("it takes too long to render", token=None)


class _Template(BoundTemplate):
    context_class = _Context


class _Environment(Environment):
    template_class = _Template
    loop_iteration_limit = _LARGEST_LIST
    local_namespace_limit = 4 * _LARGEST_TEXT
    output_stream_limit = LARGEST_OUTPUT
    block_nesting_limit = 20
    context_depth_limit = 20


def _environment(*, escape: bool) -> Environment:
    environment = _Environment(undefined=FalsyStrictUndefined, strict_filters=True, autoescape=escape)
    for tag in _NOT_OFFERED:
        del environment.tags[tag]
    for name, function in environment.filters.items():
        environment.filters[name] = _limited(name, function)
    return environment


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def limited(value: Any, *args: Any, **kwargs: Any) -> Any:
        for given in (value, *args):
            _check(given)
        _check_growth(name, value, args)
        result = function(value, *args, **kwargs)
        _check(result)
        return result

    return limited


def _check(value: Any) -> None:
    if isinstance(value, str):
        too_large = len(value) > _LARGEST_TEXT
    elif isinstance(value, range):
        too_large = value.stop - value.start > _LARGEST_LIST  # len() of a range may overflow.
    elif isinstance(value, list | tuple):
        too_large = len(value) > _LARGEST_LIST
    elif isinstance(value, int):
        too_large = value.bit_length() > _LARGEST_NUMBER_BITS
    else:
        return
    if too_large:
        raise LiquidError("a value grows too large", token=None)


def _check_growth(name: str, value: Any, args: tuple[Any, ...]) -> None:
    """The two filters whose result is a product of what goes in."""
    if name == "replace" and args:
        pieces, glue = str(value).count(str(args[0])), str(args[1]) if len(args) > 1 else ""
    elif name == "join" and isinstance(value, list | tuple | range):
        pieces, glue = len(value), str(args[0]) if args else " "
    else:
        return
    if pieces * len(glue) > _LARGEST_TEXT:
        raise LiquidError("a value grows too large", token=None)


_HTML = _environment(escape=True)
_TEXT = _environment(escape=False)


def render(source: str, variables: Mapping[str, object], *, escape: bool) -> str:
    """Raises TemplateError; with `escape`, what variables hold is HTML-escaped."""
    if len(source) > LARGEST_TEMPLATE:
        raise TemplateError(f"a template has at most {LARGEST_TEMPLATE} characters")
    try:
        rendered: str = _parsed(source, escape).render(**variables)
    except LiquidError as error:
        raise TemplateError(str(error.message or type(error).__name__), _line(error)) from error
    except Exception as error:  # filters raise whatever their arguments lead to
        raise TemplateError(f"it cannot be rendered ({type(error).__name__})") from error
    return rendered


@lru_cache(maxsize=512)
def _parsed(source: str, escape: bool) -> BoundTemplate:
    return (_HTML if escape else _TEXT).from_string(source)


def _line(error: LiquidError) -> int:
    try:
        context = error.context()
    except ValueError:  # The place is the end of the template.
        return len(error.token.source.splitlines()) if error.token else 0
    return int(context[0]) if context else 0
