"""What went wrong with the local stack, in sentences for the person at the terminal."""

from collections.abc import Iterator


class StackError(Exception):
    """The stack cannot do what was asked; the text says what, where and what to do."""


def first_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The most telling of what went wrong at the same time."""
    leaves = list(_leaves(several))
    return next((leaf for leaf in leaves if isinstance(leaf, StackError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
