"""One per-tag detector at work on one feature of many tags: what stands between row numbers and banks. Pure."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

from fieldline_cloud.agents.anomaly.learned.banks import Bank
from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints

__all__ = ["Feature", "Scorer"]


class Feature(Enum):
    """What of a stretch a detector looks at."""

    MEAN = "mean"
    SPREAD = "spread"


class Scorer:
    """A bank, and which row of it each row of ours has. Banks are made when the first tag asks for one."""

    def __init__(self, detector: str, feature: Feature, make: Callable[[], Bank]) -> None:
        self.detector = detector
        self.feature = feature
        self.rule = detector if feature is Feature.MEAN else f"{detector}_{feature.value}"
        self._bank = make()
        self._places = np.full(0, -1, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._places)
        if more > 0:
            self._places = np.append(self._places, np.full(more, -1))

    def add(self, row: int) -> None:
        """Begin with this row."""
        if self._places[row] < 0:
            self._places[row] = self._bank.add()

    def remove(self, row: int) -> None:
        """Forget all about it."""
        if self._places[row] >= 0:
            self._bank.remove(int(self._places[row]))
            self._places[row] = -1

    def relearn(self, row: int) -> None:
        """Begin with it anew."""
        if self._places[row] >= 0:
            self.remove(row)
            self.add(row)

    def scores(self, rows: Ints, at_ns: Ints, values: Floats) -> Floats:
        """The score of each row, NaN for those it does not watch and values that are none."""
        places = self._places[rows]
        watched = (places >= 0) & np.isfinite(values)
        if watched.all():
            return self._bank.update(places, at_ns, values)
        scores = np.full(len(rows), np.nan)
        if watched.any():
            scores[watched] = self._bank.update(places[watched], at_ns[watched], values[watched])
        return scores

    def band(self, row: int) -> tuple[float, float]:
        """What is expected of it next."""
        return self._bank.band(int(self._places[row]))

    def snapshot(self, row: int) -> dict[str, Any] | None:
        """What `restore` needs, as plain data; None for a row it does not watch."""
        return self._bank.snapshot(int(self._places[row])) if self._places[row] >= 0 else None

    def restore(self, row: int, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.add(row)
        self._bank.restore(int(self._places[row]), snapshot)
