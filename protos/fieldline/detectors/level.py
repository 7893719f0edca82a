"""Where a tag has been lately: its slow mean."""

from collections.abc import Mapping
from typing import Any

from fieldline.detectors.snapshots import finite

__all__ = ["Level"]


class Level:
    """An exponentially weighted mean, and a plain one until 1 / `rate` readings have been seen.

    The control chart of S. W. Roberts (Technometrics 1, 1959) watches such a mean; readings are compared with it here.
    """

    __slots__ = ("_rate", "_seen", "mean")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._seen = 0
        self.mean = 0.0

    def deviation(self, value: float) -> float:
        """`value` less the mean of those before it, which then learns it; 0 for the first."""
        deviation = value - self.mean
        self._seen = seen = self._seen + 1
        self.mean += deviation * (self._rate if self._rate * seen > 1.0 else 1.0 / seen)
        return deviation if seen > 1 else 0.0

    def snapshot(self) -> dict[str, Any]:
        """The state, as JSON can hold it."""
        return {"mean": self.mean, "seen": self._seen}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken."""
        self.mean, self._seen = finite(snapshot["mean"]), int(snapshot["seen"])
