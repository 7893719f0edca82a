"""A detector of one's own: how far is a value outside the range that was usual while it learned?"""

import math
from collections.abc import Iterable
from typing import Any

LEARNS_FROM = 60
"""Values it learns from before the first score."""


class Envelope:
    """One tag. Scores are in widths of the usual range: 1.0 is a whole width outside of it, and worth an alert."""

    def __init__(self) -> None:
        self.seen = 0
        self.low, self.high = math.inf, -math.inf

    def update(self, times: Iterable[int], values: Iterable[float]) -> list[float]:
        """A score for each value, NaN while it learns. It may depend on what came before, and on nothing else."""
        return [self._score(value) for _, value in zip(times, values, strict=True)]

    def _score(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        if self.seen < LEARNS_FROM:
            self.seen += 1
            self.low, self.high = min(self.low, value), max(self.high, value)
            return math.nan
        width = max(self.high - self.low, 1e-9)
        return max(self.low - value, value - self.high, 0.0) / width

    def expected(self) -> tuple[float, float]:
        """What the alert shows as usual."""
        return self.low, self.high

    def snapshot(self) -> dict[str, Any]:
        """All it has learned, as JSON can hold it: for a restart, and for another process."""
        return {"seen": self.seen, "low": self.low, "high": self.high}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from there."""
        self.seen, self.low, self.high = snapshot["seen"], snapshot["low"], snapshot["high"]
