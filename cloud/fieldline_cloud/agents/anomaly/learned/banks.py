"""Many series under one per-tag detector: in arrays where it has a bank, one object each where it has none. Pure."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints

__all__ = ["Bank", "Detector", "OneByOne"]


class Detector(Protocol):
    """One series. Scores depend on the past alone; 1.0 is the threshold, NaN stands for "still learning"."""

    def update(self, times: Ints, values: Floats) -> Floats:
        """Score values (n,), NaN where there is no good one, at times (n,) in ns."""

    def expected(self) -> tuple[float, float]:
        """The band (low, high) in which the next value is no surprise; NaN where it has none."""

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""


class Bank(Protocol):
    """The same for many series, each a row."""

    def add(self) -> int:
        """A row for one more series."""

    def remove(self, row: int) -> None:
        """The series is gone; its row may be used again."""

    def update(self, rows: Ints, times: Ints, values: Floats) -> Floats:
        """Score one value of each of `rows`; a row stands there at most once."""

    def band(self, row: int) -> tuple[float, float]:
        """As Detector.expected."""

    def snapshot(self, row: int) -> dict[str, Any]:
        """As Detector.snapshot."""

    def restore(self, row: int, snapshot: dict[str, Any]) -> None:
        """As Detector.restore."""


class OneByOne:
    """A bank of any detector: as slow as the detector, and quite enough for some hundreds of series."""

    def __init__(self, make: Callable[[], Detector]) -> None:
        self._make = make
        self._detectors: list[Detector | None] = []
        self._free: list[int] = []

    def add(self) -> int:
        """A row for one more series."""
        if self._free:
            row = self._free.pop()
            self._detectors[row] = self._make()
            return row
        self._detectors.append(self._make())
        return len(self._detectors) - 1

    def remove(self, row: int) -> None:
        """The series is gone; its row may be used again."""
        self._detectors[row] = None
        self._free.append(row)

    def update(self, rows: Ints, times: Ints, values: Floats) -> Floats:
        """Score one value of each of `rows`."""
        scores = np.empty(len(rows))
        for place, row in enumerate(rows.tolist()):
            scores[place] = self._at(row).update(times[place : place + 1], values[place : place + 1])[0]
        return scores

    def band(self, row: int) -> tuple[float, float]:
        """As Detector.expected."""
        return self._at(row).expected()

    def snapshot(self, row: int) -> dict[str, Any]:
        """As Detector.snapshot."""
        return self._at(row).snapshot()

    def restore(self, row: int, snapshot: dict[str, Any]) -> None:
        """As Detector.restore."""
        self._at(row).restore(snapshot)

    def _at(self, row: int) -> Detector:
        detector = self._detectors[row]
        assert detector is not None, f"row {row} was removed"
        return detector
