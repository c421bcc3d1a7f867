"""`python -m tests.bench [NAME]`: gateway, detector, line, or a figure's name; all without one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from tests.bench import bench_detector, bench_gateway, bench_line
from tests.bench.figures import BENCH_JSON, Figure, keep
from tests.bench.ground import Ground, ground

BENCHES: dict[str, Callable[[Ground], Awaitable[list[Figure]]]] = {
    "gateway": bench_gateway.measure,
    "detector": bench_detector.measure,
    "line": bench_line.measure,
}


async def _run(names: list[str]) -> None:
    for name in names:
        async with ground() as fresh:  # Each benchmark on a log of its own.
            figures = await BENCHES[name](fresh)
        keep(figures)
        for figure in figures:
            compared = f"   {figure.ratio:.3f} of {figure.baseline:,.1f}" if figure.ratio is not None else ""
            print(f"{figure.name:40} {figure.value:>12,.3f} {figure.unit}{compared}")
    print(f"written to {BENCH_JSON}")


def main() -> None:
    """One benchmark or all."""
    asked = sys.argv[1].split(".")[0] if len(sys.argv) > 1 else ""
    name = {"memory": "line"}.get(asked, asked)
    if name and name not in BENCHES:
        sys.exit(f"there is no benchmark {asked!r}: {', '.join(BENCHES)}")
    asyncio.run(_run([name] if name else list(BENCHES)))


if __name__ == "__main__":
    main()
