"""What went wrong with the local stack, in sentences for the person at the terminal."""


class StackError(Exception):
    """The stack cannot do what was asked; the text says what, where and what to do."""
