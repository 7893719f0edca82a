"""Whether a signal is stuck: the same value again and again, for much longer than it ever was. Pure.

A value that is read in steps repeats itself now and then, and a constant does nothing else: so what counts is how long
the longest repetition was while the tag was learned, in readings and in time.
"""

from typing import Any, Final

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints, Raw

__all__ = ["Repeats"]

_TIMES: Final = 4.0
"""So many times the longest repetition known is worth an alert."""
_RUN_MIN: Final = 30
"""And at least so many readings."""
_SEEN_MIN: Final = 500
"""Readings before anything is said."""
_CHANGES_MIN: Final = 100
"""And so many changes of value among them: what hardly ever changes cannot be found stuck."""


class Repeats:
    """How long each row has said the same, and how long it ever did."""

    def __init__(self) -> None:
        self._last = np.zeros(0)
        self._run = np.zeros(0, np.int64)
        self._longest = np.zeros(0, np.int64)
        self._seen = np.zeros(0, np.int64)
        self._changes = np.zeros(0, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._last)
        if more > 0:
            self._last = np.append(self._last, np.full(more, np.nan))
            self._run, self._longest, self._seen, self._changes = (
                np.append(counts, np.zeros(more, np.int64))
                for counts in (self._run, self._longest, self._seen, self._changes)
            )

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self._last[row] = np.nan
        self._run[row] = self._longest[row] = self._seen[row] = self._changes[row] = 0

    def add(self, raw: Raw) -> tuple[Ints, Floats]:
        """Take readings; the rows among them, and the score of each: 1.0 and above is stuck, NaN too early."""
        good = np.isfinite(raw.values)
        rows, values = (raw.rows, raw.values) if good.all() else (raw.rows[good], raw.values[good])
        if not len(rows):
            return np.zeros(0, np.int64), np.zeros(0)
        is_first = np.append(True, rows[1:] != rows[:-1])
        firsts = np.flatnonzero(is_first)
        before = np.empty_like(values)
        before[1:] = values[:-1]
        before[firsts] = self._last[rows[firsts]]
        changes = np.flatnonzero((values != before) | is_first)  # where a run begins, or goes on from the batch before
        lengths = np.diff(np.append(changes, len(values)))
        goes_on = is_first[changes] & (values[changes] == before[changes])
        own = rows[changes]
        lengths = lengths + np.where(goes_on, self._run[own], 0)
        seen = rows[firsts]
        group = np.flatnonzero(is_first[changes])
        last_run = np.append(group[1:], len(changes)) - 1
        self._finish(seen, lengths, group, last_run, goes_on)
        self._last[seen] = values[np.append(firsts[1:], len(values)) - 1]
        self._run[seen] = lengths[last_run]
        self._seen[seen] += np.diff(np.append(firsts, len(values)))
        return seen, self._scores(seen)

    def value(self, row: int) -> float:
        """What it said last."""
        return float(self._last[row])

    def snapshot(self, row: int) -> list[Any]:
        """What `restore` needs, as plain data."""
        last = float(self._last[row])
        counts = (self._run, self._longest, self._seen, self._changes)
        return [last if np.isfinite(last) else None, *(int(count[row]) for count in counts)]

    def restore(self, row: int, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._last[row] = np.nan if snapshot[0] is None else snapshot[0]
        self._run[row], self._longest[row], self._seen[row], self._changes[row] = snapshot[1:]

    def _finish(self, seen: Ints, lengths: Ints, group: Ints, last_run: Ints, goes_on: Ints) -> None:
        """Remember the longest run that has ended, of each row: all but the last one of the batch."""
        ended = lengths.copy()
        ended[last_run] = 0
        longest = np.maximum.reduceat(ended, group)
        begins_anew = ~goes_on[group]
        longest = np.maximum(longest, np.where(begins_anew, self._run[seen], 0))
        self._longest[seen] = np.maximum(self._longest[seen], longest)
        self._changes[seen] += last_run - group + begins_anew

    def _scores(self, rows: Ints) -> Floats:
        knows = (self._seen[rows] >= _SEEN_MIN) & (self._changes[rows] >= _CHANGES_MIN)
        bar = np.maximum(_TIMES * self._longest[rows], _RUN_MIN)
        return np.where(knows, self._run[rows] / bar, np.nan)
