"""`python -m tests.chaos [NAME] [--seed N] [--minutes M] [--runs R]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos import detector, line

CHAOS_JSON = Path("build/chaos.json")


def main() -> None:
    """Run one suite or all; exit code 1 where a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("only", nargs="?", default="", choices=["", "line", "detector"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="of the line (3), of each run of the detector (5)")
    parser.add_argument(
        "--runs", type=int, default=1_000, help="of the detector at most; it ends when its totals are reached"
    )
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs of the detector")
    asked = parser.parse_args()
    if asked.fresh:
        detector.forget()
    outcomes: list[line.Outcome | detector.Outcome] = []
    if asked.only in ("", "line"):
        outcomes.append(asyncio.run(line.run(asked.seed, asked.minutes or 3.0)))
        _keep(asdict(outcomes[-1]))
    if asked.only in ("", "detector"):
        outcomes.append(asyncio.run(detector.run(asked.seed, asked.minutes or 5.0, asked.runs)))
        _keep(asdict(outcomes[-1]))
    print(CHAOS_JSON.read_text())
    sys.exit(0 if all(outcome.ok() for outcome in outcomes) else 1)


def _keep(outcome: dict[str, Any]) -> None:
    """In place of the suite's last figures; those of other suites stay."""
    CHAOS_JSON.parent.mkdir(exist_ok=True)
    found = json.loads(CHAOS_JSON.read_text()) if CHAOS_JSON.exists() else []
    kept = [one for one in found if one["suite"] != outcome["suite"]]
    CHAOS_JSON.write_text(json.dumps([*kept, outcome], indent=2) + "\n")


if __name__ == "__main__":
    main()
