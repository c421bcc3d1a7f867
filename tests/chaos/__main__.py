"""`python -m tests.chaos [NAME] [--seed N] [--minutes M]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.chaos import line

CHAOS_JSON = Path("build/chaos.json")
SUITES = {"line": line.run}


def main() -> None:
    """Run one suite or all; exit code 1 where a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("only", nargs="?", default="", choices=["", *SUITES])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    asked = parser.parse_args()
    outcomes = [
        asyncio.run(SUITES[name](asked.seed, asked.minutes)) for name in ([asked.only] if asked.only else SUITES)
    ]
    CHAOS_JSON.parent.mkdir(exist_ok=True)
    CHAOS_JSON.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    print(CHAOS_JSON.read_text())
    sys.exit(0 if all(outcome.ok() for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
