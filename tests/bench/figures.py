"""What a benchmark found, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

BENCH_JSON, TRIAL_JSON = Path("build/bench.json"), Path("build/bench.trial.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure; `ratio` is value to baseline where a baseline was measured in the same run."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    note: str = ""


def compared(name: str, values: Sequence[float], baselines: Sequence[float], unit: str, note: str) -> Figure:
    """Medians of interleaved runs; the ratio is the median of the runs' own ratios."""
    ratios = [value / baseline for value, baseline in zip(values, baselines, strict=True)]
    return Figure(
        name=name,
        value=round(median(values), 1),
        unit=unit,
        baseline=round(median(baselines), 1),
        ratio=round(median(ratios), 3),
        note=note,
    )


def keep(figures: Sequence[Figure], path: Path) -> None:
    """Write the figures beside those of other benchmarks; the same name is replaced."""
    known = json.loads(path.read_text()) if path.exists() else []
    fresh = {figure.name for figure in figures}
    rows = [row for row in known if row["name"] not in fresh] + [asdict(figure) for figure in figures]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(sorted(rows, key=lambda row: str(row["name"])), indent=2) + "\n")
