"""One alarm for one event: after an alarm, quiet for a while."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Refractory"]


class Refractory:
    """Passes a score on, except in the `quiet` readings after one that reached `threshold`: those are 0.

    For whoever takes scores as they come. The anomaly agent does not: its alarm states hold an alarm until it has
    cleared, which says the same and says when it ended.
    """

    __slots__ = ("_left", "_quiet", "_threshold")

    def __init__(self, *, quiet: int = 60, threshold: float = 1.0) -> None:
        self._quiet, self._threshold = quiet, threshold
        self._left = 0

    def step(self, score: float) -> float:
        """The score to act on; NaN passes and does not count."""
        if math.isnan(score):
            return score
        if self._left > 0:
            self._left -= 1
            return 0.0
        if score >= self._threshold:
            self._left = self._quiet
        return score

    def snapshot(self) -> dict[str, Any]:
        """The state, as JSON can hold it."""
        return {"left": self._left}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken."""
        self._left = int(snapshot["left"])
