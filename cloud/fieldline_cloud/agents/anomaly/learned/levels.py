"""The usual level and spread of every row, slow and cut: to tell a change of unit by. Pure."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints

__all__ = ["Levels"]

_RATE: Final = 0.05
_CUT: Final = 4.0
"""A value counts as at most so many spreads away, so that a jump does not move the level before it is judged."""
_FAR: Final = 2.5
"""Standard deviations from its level at which a value has moved."""
KNOWN_AFTER: Final = 20


class Levels:
    """Exponential mean and mean absolute deviation of each row."""

    def __init__(self) -> None:
        self._level = np.zeros(0)
        self._spread = np.zeros(0)
        self._seen = np.zeros(0, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._level)
        if more > 0:
            self._level = np.append(self._level, np.zeros(more))
            self._spread = np.append(self._spread, np.zeros(more))
            self._seen = np.append(self._seen, np.zeros(more, np.int64))

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self._level[row] = self._spread[row] = 0.0
        self._seen[row] = 0

    def known(self, row: int) -> tuple[float, float] | None:
        """Level and standard deviation; None while that is too early to say."""
        if self._seen[row] < KNOWN_AFTER:
            return None
        return float(self._level[row]), float(self._spread[row]) * 1.25

    def have_moved(self, rows: Ints, values: Floats) -> NDArray[np.bool_]:
        """Which values are away from the usual level of their rows, whatever the reason."""
        spread = 1.25 * self._spread[rows] + 1e-9 * np.abs(self._level[rows])
        far: NDArray[np.bool_] = np.abs(values - self._level[rows]) > _FAR * spread
        return far & (self._seen[rows] >= KNOWN_AFTER)

    def learn(self, rows: Ints, values: Floats) -> None:
        """Take a value of each of `rows`."""
        seen = self._seen[rows]
        rate = np.maximum(_RATE, 1.0 / (seen + 1.0))
        away = values - self._level[rows]
        spread = self._spread[rows]
        bound = np.where(seen < KNOWN_AFTER, np.inf, _CUT * spread + 1e-9 * np.abs(self._level[rows]))
        away = np.clip(away, -bound, bound)
        self._level[rows] += rate * away
        self._spread[rows] += np.where(seen > 0, rate * (np.abs(away) - spread), 0.0)
        self._seen[rows] = seen + 1

    def snapshot(self, row: int) -> list[Any]:
        """What `restore` needs, as plain data."""
        return [float(self._level[row]), float(self._spread[row]), int(self._seen[row])]

    def restore(self, row: int, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._level[row], self._spread[row], self._seen[row] = snapshot
