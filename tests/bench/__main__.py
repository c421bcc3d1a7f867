"""`python -m tests.bench [NAME]`: gateway, detector, replay, line, or the beginning of a figure's name (detector.takeover); all without one."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tests.bench import bench_detector, bench_gateway, bench_line, bench_replay
from tests.bench.detector.sizes import IS_TRIAL
from tests.bench.figures import BENCH_JSON, TRIAL_JSON, Figure, keep
from tests.bench.ground import Ground, ground


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark: the beginnings of the names of its figures, which come one by one."""

    names: tuple[str, ...]
    measure: Callable[[Ground], AsyncIterator[Figure]]


def _at_once(measure: Callable[[Ground], Awaitable[list[Figure]]]) -> Callable[[Ground], AsyncIterator[Figure]]:
    async def one_by_one(fresh: Ground) -> AsyncIterator[Figure]:
        for figure in await measure(fresh):
            yield figure

    return one_by_one


BENCHES = (
    Bench(("gateway.",), bench_gateway.measure),
    *(Bench(names, measure) for measure, names in bench_detector.PARTS.items()),
    Bench(("replay.",), bench_replay.measure),
    Bench(("line.", "memory."), _at_once(bench_line.measure)),
)


async def _run(benches: list[Bench]) -> int:
    """Figures are kept as they come, so that what fails later takes none away. Returns how many benchmarks failed."""
    kept_in = TRIAL_JSON if IS_TRIAL else BENCH_JSON
    failed = 0
    for bench in benches:
        print(" ".join(bench.names), flush=True)
        try:
            async with ground() as fresh:  # Each benchmark on a log of its own.
                async for figure in bench.measure(fresh):
                    keep([figure], kept_in)
                    _show(figure)
        except Exception:  # noqa: BLE001 - the others are still worth measuring
            traceback.print_exc()
            failed += 1
    print(f"written to {kept_in}" + (f"; {failed} benchmarks failed" if failed else ""))
    return failed


def _show(figure: Figure) -> None:
    compared = f"   {figure.ratio:.3f} of {figure.baseline:,.1f}" if figure.ratio is not None else ""
    print(f"{figure.name:40} {figure.value:>12,.3f} {figure.unit}{compared}\n    {figure.note}", flush=True)


def main() -> None:
    """Those whose figures' names begin so; all without a name."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [
        bench for bench in BENCHES if any(name.startswith(asked) or asked.startswith(name) for name in bench.names)
    ]
    if not chosen:
        names = " ".join(name for bench in BENCHES for name in bench.names)
        sys.exit(f"there is no benchmark {asked!r}: {names}")
    sys.exit(1 if asyncio.run(_run(chosen)) else 0)


if __name__ == "__main__":
    main()
