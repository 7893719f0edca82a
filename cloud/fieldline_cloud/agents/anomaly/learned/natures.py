"""What kind of signal a tag is, by its values: a number, a counter that only grows, or a code of few values. Pure.

The name often says it (`*_hours`, `mode`), and configuration has the last word; this is for the rest.
"""

from typing import Any, Final

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import Ints
from fieldline_cloud.agents.anomaly.learned.stretches import Told

__all__ = ["CODES_MAX", "Natures"]

COUNTER_TOLD: Final = 240
"""Stretches after which a row that never fell, and rose in most of them, is a counter."""
_RISES_MIN: Final = 0.5
_FALLS_MAX: Final = 0.01
"""A counter begins at zero now and then."""
COARSE_RISES: Final = 16
"""Rises of a row without a single fall that make it a counter as well, far apart as they are: pieces, batches, MWh."""
CODES_MAX: Final = 4
"""Whole numbers with at most so many different values are a code, not a measurement."""


class Natures:
    """Counts the rises and falls of every row until it is known for what it is."""

    def __init__(self) -> None:
        self._last = np.zeros(0)
        self._told = np.zeros(0, np.int64)
        self._rises = np.zeros(0, np.int64)
        self._falls = np.zeros(0, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._last)
        if more > 0:
            self._last = np.append(self._last, np.full(more, np.nan))
            self._told, self._rises, self._falls = (
                np.append(counts, np.zeros(more, np.int64)) for counts in (self._told, self._rises, self._falls)
            )

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self._last[row] = np.nan
        self._told[row] = self._rises[row] = self._falls[row] = 0

    def counters(self, told: Told) -> Ints:
        """Take what was told; the rows that have just shown to be counters, fine or coarse."""
        rows = told.rows
        last = self._last[rows]
        self._told[rows] += 1
        self._rises[rows] += told.means > last
        self._falls[rows] += told.means < last
        self._last[rows] = told.means
        counts = self._told[rows]
        due = rows[counts == COUNTER_TOLD]
        is_counter = (self._falls[due] <= _FALLS_MAX * COUNTER_TOLD) & (self._rises[due] >= _RISES_MIN * COUNTER_TOLD)
        enough = (self._falls[rows] == 0) & (self._rises[rows] >= COARSE_RISES) & (counts >= COUNTER_TOLD)
        just = (counts == COUNTER_TOLD) | ((told.means > last) & (self._rises[rows] == COARSE_RISES))
        counters: Ints = np.union1d(due[is_counter], rows[enough & just])
        return counters

    def is_coarse(self, row: int) -> bool:
        """Whether a counter stands still in most stretches: its growth per hour is then a matter of luck."""
        return bool(self._rises[row] < _RISES_MIN * self._told[row])

    def snapshot(self, row: int) -> list[Any]:
        """What `restore` needs, as plain data."""
        last = float(self._last[row])
        return [
            last if np.isfinite(last) else None,
            int(self._told[row]),
            int(self._rises[row]),
            int(self._falls[row]),
        ]

    def restore(self, row: int, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._last[row] = np.nan if snapshot[0] is None else snapshot[0]
        self._told[row], self._rises[row], self._falls[row] = snapshot[1:]
