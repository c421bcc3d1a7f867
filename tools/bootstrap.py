"""Makes .venv with everything that requirements.lock pins. Standard library only; `make setup` runs it with any Python.

It must parse on Python 3.8, so that an old Python gets the sentence below instead of a syntax error.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
OLDEST = (3, 11)
ROOM_NEEDED = 1500 * 1024 * 1024
ANOTHER = "another Python is chosen with: make PYTHON=python3.12 setup (or demo, test, …)"


def refuse(sentence: str) -> None:
    sys.exit("\n" + sentence + "\n")


def check_python() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        refuse(f"Trolleybus needs Python 3.11 or newer; {sys.executable} is {version}; {ANOTHER}")
    try:
        import ensurepip  # noqa: F401, PLC0415  # only whether they are there
        import venv  # noqa: F401, PLC0415
    except ImportError:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        refuse(
            f"{sys.executable} ({version}) cannot make virtual environments: its modules venv and ensurepip are missing.\n"
            f"On Debian and Ubuntu: apt install {package}. Or {ANOTHER}"
        )


def check_room() -> None:
    free = shutil.disk_usage(str(ROOT)).free
    if free < ROOM_NEEDED:
        refuse(
            f"There is {free // 2**20} MiB free where {ROOT} lies, and the environment with the local stack needs "
            f"{ROOM_NEEDED // 2**20} MiB: make room and try again."
        )


def usable(python: Path) -> bool:
    probe = [str(python), "-c", f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"]
    try:
        return subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def pinned() -> int:
    return len(re.findall(r"^[\w.-]+(?:\[.*\])?==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def pip(title: str, expected: int, *arguments: str) -> None:
    """Runs pip; shows how far it is; at a failure shows its last words."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    process = subprocess.Popen(
        [*command, "--progress-bar", "off", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=str(ROOT),
    )
    said = []  # type: list[str]
    collected = 0
    started = time.monotonic()
    for line in process.stdout or ():
        said.append(line)
        if line.startswith("Collecting "):
            collected += 1
            tell(f"{title}: {collected} of about {expected} packages", last=collected % 40 == 0)
        elif line.startswith("Installing collected"):
            tell(f"{title}: unpacking", last=True)
    if process.wait() != 0:
        words = "".join(said[-12:])
        refuse(
            f"pip could not install the packages:\n{words}\n"
            "The first setup needs the network and a package index: check the connection or proxy, then run the same command again."
        )
    tell(f"{title}: done in {time.monotonic() - started:.0f} s", last=True)


def tell(text: str, last: bool) -> None:
    """One line that rewrites itself on a terminal; elsewhere only now and then a line."""
    if sys.stdout.isatty():
        print("\r\033[K" + text, end="\n" if text.endswith(" s") else "", flush=True)
    elif last:
        print(text, flush=True)


def main() -> None:
    check_python()
    check_room()
    os.environ.pop("PYTHONHOME", None)
    if VENV.exists() and not usable(VENV / "bin" / "python"):
        tell("The environment in .venv does not work any more: making it anew", last=True)
        shutil.rmtree(str(VENV))
    if not VENV.exists():
        tell("Making the environment in .venv", last=True)
        import venv  # noqa: PLC0415  # missing in some Pythons, which check_python has told

        venv.create(str(VENV), with_pip=True)
    pip("Packages", pinned(), "--require-hashes", "-r", str(LOCK))
    pip("Trolleybus itself", 1, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    (VENV / ".installed").touch()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same command goes on from here.")
