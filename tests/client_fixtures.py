"""Segment's own libraries, installed once from their packages into the development directory, as their lock files say."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "clients"
CACHE = Path(__file__).parents[1] / ".dev" / "clients"
PATIENCE_S = 300


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """A folder with node_modules and the scripts that use them."""
    if not shutil.which("npm"):
        _absent("npm is needed for the tests of Segment's JavaScript libraries")

    def install(place: Path) -> None:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / "node" / name, place / name)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place)

    place = _installed("node", HERE / "node" / "package-lock.json", install)
    shutil.copy(HERE / "node" / "story.mjs", place / "story.mjs")
    return place


@pytest.fixture(scope="session")
def python_client() -> Path:
    """A Python that has the library, apart from the project's own."""

    def install(place: Path) -> None:
        _run([sys.executable, "-m", "venv", "venv"], place)
        pip = [str(place / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "-r", str(HERE / "python" / "requirements.txt")], place)

    return _installed("python", HERE / "python" / "requirements.txt", install) / "venv/bin/python"


def _installed(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder for what the lock file says; made whole in another place first, so that half a one never stands there."""
    place = CACHE / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if place.exists():
        return place
    making = place.with_suffix(f".{os.getpid()}")
    making.mkdir(parents=True)
    try:
        install(making)
        making.rename(place)
    except (OSError, subprocess.SubprocessError) as error:
        if not place.exists():  # Another worker may have been faster.
            said = getattr(error, "stderr", b"") or b""
            _absent(f"Segment's {name} library could not be installed: {error} {said.decode(errors='replace')[-400:]}")
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return place


def _run(command: list[str], place: Path) -> None:
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=PATIENCE_S)


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)  # Where it can be installed, it is never left untested.
    pytest.skip(reason)
