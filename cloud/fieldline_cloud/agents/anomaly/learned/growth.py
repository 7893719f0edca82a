"""The growth per hour of the rows that are counters. Pure."""

from typing import Any, Final

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import Floats
from fieldline_cloud.agents.anomaly.learned.stretches import Told

__all__ = ["Growth"]

_HOUR_NS: Final = 3_600_000_000_000


class Growth:
    """Which rows are counters, and where each of them stood last."""

    def __init__(self) -> None:
        self.is_counter = np.zeros(0, np.bool_)
        self._last_means = np.zeros(0)
        self._last_ns = np.zeros(0, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self.is_counter)
        if more > 0:
            self.is_counter = np.append(self.is_counter, np.zeros(more, np.bool_))
            self._last_means = np.append(self._last_means, np.full(more, np.nan))
            self._last_ns = np.append(self._last_ns, np.zeros(more, np.int64))

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self.is_counter[row], self._last_means[row], self._last_ns[row] = False, np.nan, 0

    def pause(self, rows: list[int]) -> None:
        """Growth is not measured from what was before."""
        self._last_means[rows] = np.nan

    def values(self, told: Told) -> Floats:
        """The means, or of a counter its growth per hour; NaN where that cannot be said."""
        rows, means = told.rows, told.means
        counts = self.is_counter[rows]
        if not counts.any():
            return means
        passed_ns = told.at_ns - self._last_ns[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = (means - self._last_means[rows]) / passed_ns * _HOUR_NS
        growth[(growth < 0.0) | (passed_ns <= 0)] = np.nan
        self._last_means[rows[counts]] = means[counts]
        self._last_ns[rows[counts]] = told.at_ns[counts]
        return np.where(counts, growth, means)

    def snapshot(self, row: int) -> list[Any]:
        """What `restore` needs, as plain data."""
        last = float(self._last_means[row])
        return [bool(self.is_counter[row]), last if np.isfinite(last) else None, int(self._last_ns[row])]

    def restore(self, row: int, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.is_counter[row], last, self._last_ns[row] = snapshot
        self._last_means[row] = np.nan if last is None else last
