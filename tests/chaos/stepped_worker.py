"""Runs the detector with a wall clock that the tests step: `python stepped_worker.py OFFSET_FILE`.

The file holds one float, the seconds by which this process's wall clock is off; it is looked at on every question.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path


def step_with(path: Path) -> None:
    """From here on time.time and time.time_ns of this process are off by what the file says."""
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real, real_ns, unpack = time.time, time.time_ns, struct.Struct("<d").unpack_from

    def stepped() -> float:
        return real() + float(unpack(view)[0])

    def stepped_ns() -> int:
        return real_ns() + int(unpack(view)[0] * 1e9)

    time.time = stepped
    time.time_ns = stepped_ns


if __name__ == "__main__":
    step_with(Path(sys.argv.pop(1)))
    sys.path.pop(0)  # This folder, which is put there for a script, holds nothing that the service imports.
    runpy.run_module("services.abandonment", run_name="__main__", alter_sys=True)
