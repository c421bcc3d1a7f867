"""How large a run is: the published size, or a smaller one for a trial."""

from __future__ import annotations

import os

IS_TRIAL = any(name in os.environ for name in ("EVENTS", "CARTS", "RUNS", "PROFILE"))
RUNS = 1 if "PROFILE" in os.environ else int(os.environ.get("RUNS", "3"))
"""Runs that are compared; figures are their medians."""


def events(published: int) -> int:
    """Events of a run."""
    return int(os.environ.get("EVENTS", published))


def carts(published: int) -> int:
    """Open carts of a run."""
    return min(published, int(os.environ.get("CARTS", published)))
