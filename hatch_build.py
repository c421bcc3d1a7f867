"""Compiles what is written in Cython into the packages: by `make` in place, and by hatchling into a wheel.

Without a C compiler or Python's headers nothing is built, and the package uses the pure Python that does the same.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCES = (
    ROOT / "trolleybus" / "avro" / "machine.pyx",
    ROOT / "services" / "ingest" / "adapters" / "native_machine.pyx",
    ROOT / "services" / "ingest" / "kafka" / "kafka_machine.pyx",
)


class NoCompiler(RuntimeError):
    """This machine cannot compile C for this Python; the text says what is missing."""


def built(source: Path) -> Path:
    """Where the module of a source stands."""
    return source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))


def build(source: Path) -> Path:
    """Compile; the path of what was built."""
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        raise NoCompiler(f"{headers} has no Python.h")
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    generated, linked = folder / f"{source.stem}.c", folder / built(source).name
    subprocess.run([sys.executable, "-m", "cython", "-I", str(ROOT), "-o", str(generated), str(source)], check=True)
    flags = [
        word for name in ("LDSHARED", "CCSHARED", "CFLAGS") for word in shlex.split(sysconfig.get_config_var(name))
    ]
    try:
        subprocess.run([*flags, f"-I{headers}", f"-I{source.parent}", str(generated), "-o", str(linked)], check=True)
    except FileNotFoundError as error:
        raise NoCompiler(f"there is no {flags[0]}") from error
    except subprocess.CalledProcessError as error:
        raise NoCompiler(f"{flags[0]} failed as it says above") from error
    return linked.replace(built(source))  # At once: who has the old one open keeps it.


class MachineHook(BuildHookInterface[Any]):
    """Puts the machine into a wheel, which then is one platform's."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before hatchling packs; an editable installation uses what `make` builds."""
        if version != "standard":
            return
        try:
            made = [build(source) for source in SOURCES if source.exists()]  # An image's source has one service.
        except NoCompiler as reason:
            self.app.display_warning(f"The wheel is pure Python: {reason}")
            return
        build_data["artifacts"] += [f"/{one.relative_to(ROOT)}" for one in made]
        build_data.update(pure_python=False, infer_tag=True)


if __name__ == "__main__":
    try:
        for one in SOURCES:
            print(f"Compiled: {build(one).relative_to(ROOT)}")
    except NoCompiler as reason:
        for one in SOURCES:
            built(one).unlink(missing_ok=True)  # Of an older source, perhaps.
        print(
            f"Avro, plain events and Kafka's records go through pure Python, which is slower, because {reason}. "
            "On Debian: apt install gcc libc6-dev python3-dev"
        )
