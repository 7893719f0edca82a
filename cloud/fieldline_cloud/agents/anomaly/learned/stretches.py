"""Readings of many rows condensed to stretches of time: mean, spread and count, all rows at once. Pure.

Detectors of single tags were made for readings that come every few minutes; a plant sends them ten times a second. The
mean over a stretch carries what a slow fault shows, with less noise, and the spread within it carries what a fast one
shows: spikes, noise, a signal that stands still. And it makes the cost per reading that of a few vector operations.

A stretch of a row is told when the first reading of a later one comes. A row that is read less than twice in a
stretch is told at once, with what a batch has of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import AT_NS_MAX, Floats, Ints, Raw

__all__ = ["SET_BACK_NS", "Stretches", "Told"]

SET_BACK_NS: Final = 60 * 1_000_000_000
"""A reading older than the stretch before by more than this is a clock that was set back, not a late reading."""
SPREAD_COUNT_MIN: Final = 4
"""Readings a spread is taken from at least."""
_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Told:
    """One stretch of each of some rows; a row stands here at most once. `at_ns` is that of its last reading.

    `spreads` are standard deviations, NaN where there were too few readings to say.
    """

    rows: Ints
    at_ns: Ints
    means: Floats
    spreads: Floats
    counts: Ints

    def __len__(self) -> int:
        return len(self.rows)


class Stretches:
    """The open stretch of every row. Rows are numbers from 0; `reserve` makes room for them."""

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self.late = 0
        self.set_back = 0
        self._open = np.full(0, _NONE, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._last_ns = np.zeros(0, np.int64)
        self._origins = np.full(0, np.nan)
        self._sums = np.zeros(0)
        self._squares = np.zeros(0)
        self._is_slow = np.zeros(0, np.bool_)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._open)
        if more <= 0:
            return
        self._open = np.append(self._open, np.full(more, _NONE))
        self._counts = np.append(self._counts, np.zeros(more, np.int64))
        self._last_ns = np.append(self._last_ns, np.zeros(more, np.int64))
        self._origins = np.append(self._origins, np.full(more, np.nan))
        self._sums = np.append(self._sums, np.zeros(more))
        self._squares = np.append(self._squares, np.zeros(more))
        self._is_slow = np.append(self._is_slow, np.zeros(more, np.bool_))

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self._open[row] = _NONE
        self._counts[row] = self._last_ns[row] = 0
        self._origins[row] = np.nan
        self._sums[row] = self._squares[row] = 0.0
        self._is_slow[row] = False

    def snapshot(self, row: int) -> list[Any]:
        """What `restore` needs, as plain data. What has been added to the open stretch is part of it."""
        origin = float(self._origins[row])
        return [
            int(self._open[row]),
            int(self._counts[row]),
            int(self._last_ns[row]),
            origin if np.isfinite(origin) else None,
            float(self._sums[row]),
            float(self._squares[row]),
            bool(self._is_slow[row]),
        ]

    def restore(self, row: int, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._open[row], self._counts[row], self._last_ns[row] = snapshot[:3]
        self._origins[row] = np.nan if snapshot[3] is None else snapshot[3]
        self._sums[row], self._squares[row], self._is_slow[row] = snapshot[4:]

    def add(self, raw: Raw) -> Iterator[Told]:
        """Take readings, and tell what has become complete, each row's stretches in order of time."""
        good = np.isfinite(raw.values) & (raw.at_ns >= 0) & (raw.at_ns <= AT_NS_MAX)
        if not good.all():
            raw = Raw(raw.rows[good], raw.at_ns[good], raw.values[good])
        if not len(raw):
            return
        parts = self._parts(raw)
        for turn in range(int(parts.turns.max()) + 1):
            yield from filter(len, self._turn(parts, np.flatnonzero(parts.turns == turn)))

    def _parts(self, raw: Raw) -> "_Parts":
        stretches = raw.at_ns // self._every_ns
        is_first = np.empty(len(raw), np.bool_)
        is_first[0] = True
        np.not_equal(raw.rows[1:], raw.rows[:-1], out=is_first[1:])
        is_first[1:] |= stretches[1:] != stretches[:-1]
        starts = np.flatnonzero(is_first)
        rows = raw.rows[starts]
        fresh = starts[np.isnan(self._origins[rows])]
        self._origins[raw.rows[fresh[::-1]]] = raw.values[fresh[::-1]]  # the first of several counts: written last
        apart = raw.values - self._origins[raw.rows]
        return _Parts(
            rows,
            stretches[starts],
            np.diff(np.append(starts, len(raw))),
            np.maximum.reduceat(raw.at_ns, starts),
            np.add.reduceat(apart, starts),
            np.add.reduceat(apart * apart, starts),
            _turns(rows),
        )

    def _turn(self, parts: "_Parts", chosen: Ints) -> Iterator[Told]:
        """Take one part of each row. First what these parts end, then what is told at once."""
        before, stretch = self._open[parts.rows[chosen]], parts.stretches[chosen]
        ahead_ns = (before - stretch) * self._every_ns
        is_late = (ahead_ns > 0) & (ahead_ns <= SET_BACK_NS + self._every_ns)
        is_same = stretch == before
        self.late += int(parts.counts[chosen[is_late]].sum())
        self.set_back += int(((ahead_ns > 0) & ~is_late).sum())
        opens = chosen[~is_same & ~is_late]
        rows = parts.rows[opens]
        done = self._tell(rows[self._counts[rows] > 0])
        self._is_slow[done.rows] = done.counts == 1
        yield done
        self._put(parts, opens)
        self._put(parts, chosen[is_same])
        yield self._tell(rows[self._is_slow[rows]])

    def _put(self, parts: "_Parts", chosen: Ints) -> None:
        rows = parts.rows[chosen]
        self._open[rows] = parts.stretches[chosen]
        self._counts[rows] += parts.counts[chosen]
        self._sums[rows] += parts.sums[chosen]
        self._squares[rows] += parts.squares[chosen]
        self._last_ns[rows] = np.maximum(self._last_ns[rows], parts.last_ns[chosen])

    def _tell(self, rows: Ints) -> Told:
        counts = self._counts[rows]
        means = self._sums[rows] / counts
        variances = np.maximum(self._squares[rows] / counts - means * means, 0.0)
        spreads = np.where(counts >= SPREAD_COUNT_MIN, np.sqrt(variances), np.nan)
        told = Told(rows, self._last_ns[rows], self._origins[rows] + means, spreads, counts)
        self._counts[rows] = self._last_ns[rows] = 0
        self._sums[rows] = self._squares[rows] = 0.0
        return told


@dataclass(frozen=True, slots=True)
class _Parts:
    """What came of one row for one stretch. `turns` counts the parts of a row."""

    rows: Ints
    stretches: Ints
    counts: Ints
    last_ns: Ints
    sums: Floats
    squares: Floats
    turns: Ints


def _turns(rows: Ints) -> Ints:
    places = np.arange(len(rows))
    is_first = np.append(True, rows[1:] != rows[:-1])
    return places - np.maximum.accumulate(np.where(is_first, places, 0))
