"""What a demo run has reached, by the product's own dashboard, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tools.demo.shop import Figures


@dataclass(frozen=True, slots=True)
class Goal:
    """How much must have happened before an unattended run ends."""

    abandoned: int = 20
    delivered: int = 10
    recovered: int = 3

    def reached(self, figures: Figures) -> bool:
        """Whether the dashboard shows that much."""
        return (
            figures.abandoned >= self.abandoned
            and figures.delivered >= self.delivered
            and figures.recovered >= self.recovered
        )


@dataclass(slots=True)
class Stopwatch:
    """Seconds from the start to each phase's end."""

    started: float = field(default_factory=time.monotonic)
    phases: dict[str, float] = field(default_factory=dict)

    def mark(self, phase: str) -> None:
        """Note the first time that a phase ended."""
        self.phases.setdefault(phase, round(time.monotonic() - self.started, 1))

    def see(self, figures: Figures) -> None:
        """Note the firsts on the dashboard."""
        for name in ("abandoned", "delivered", "recovered"):
            if getattr(figures, name):
                self.mark(f"first_{name}")
