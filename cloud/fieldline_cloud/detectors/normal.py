"""What is normal on one device: where its smoothed channels lie and how they move together. Pure."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Normal"]

Floats = NDArray[np.float64]

_PATTERNS_MAX: Final = 64
"""Patterns of missing channels whose matrices are kept; past that they are computed again."""
_REACH_STEP: Final = 0.2
"""How the logarithm of a far quantile of a normal moves with that of its probability, about."""
_BEYOND_MAX: Final = 10.0
_TINY: Final = 1e-12


class Normal:
    """A multivariate normal of the smoothed channels that goes on learning, slowly, from rows found quiet.

    A row is judged channel by channel: how far is each from what all the others make expected (regression-adjusted
    variables, Hawkins 1991). The correlations are shrunk by `ridge` (Hoerl and Kennard 1970), so that channels which
    say the same twice, or fewer rows than channels, are no trouble. The largest of these distances, divided by
    `reach`, is the row's distance.
    """

    def __init__(self, center: Floats, covariance: Floats, *, ridge: float, reach: float = 1.0, seen: int = 0) -> None:
        self.center = center
        self.covariance = covariance
        self.reach = reach
        self.seen = seen
        self._ridge = ridge
        self._prepare()

    @classmethod
    def of(cls, rows: Floats, *, ridge: float, quantile: float) -> "Normal":
        """The normal of `rows` (n, channels), NaN where a channel is missing.

        `reach` is the `quantile` of their distances. Every channel must have a finite value in some row.
        """
        center = np.nanmean(rows, axis=0)
        normal = cls(center, _covariance(rows - center), ridge=ridge, seen=len(rows))
        normal.reach = max(float(np.nanquantile(normal.distances(rows), quantile)), _TINY)
        return normal

    def deviations(self, rows: Floats) -> Floats:
        """How far each channel is from what the others make expected, in standard deviations (n, channels).

        NaN where it is missing.
        """
        z = (rows - self.center) / self._spread
        there = np.isfinite(z)
        if there.all():
            return self._adjusted(z, self._all)
        found = np.full_like(z, np.nan)
        patterns, which = np.unique(there, axis=0, return_inverse=True)
        for place, pattern in enumerate(patterns):
            if pattern.any():
                at = np.ix_(np.flatnonzero(which.ravel() == place), np.flatnonzero(pattern))
                found[at] = self._adjusted(z[at], pattern)
        return found

    def distances(self, rows: Floats) -> Floats:
        """The distance of each row (n,), 1.0 at the quantile of the warm-up; NaN where no channel is there."""
        return self.furthest(self.deviations(rows))

    def furthest(self, deviations: Floats) -> Floats:
        """The distances that belong to `deviations`."""
        largest = np.fmax.reduce(np.abs(deviations), axis=1)
        return np.asarray(largest / self.reach)

    def expected(self, row: Floats, widths: Floats) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel in which its distance is below its width, given the others in `row`."""
        there = np.isfinite(row)
        low, high = np.full_like(row, np.nan), np.full_like(row, np.nan)
        if there.any():
            precision, _ = self._matrices(there)
            z = ((row - self.center) / self._spread)[there]
            diagonal = np.diag(precision)
            middle = z - (z @ precision) / diagonal
            half = widths[there] * self.reach / np.sqrt(diagonal)
            spread, center = self._spread[there], self.center[there]
            low[there], high[there] = center + spread * (middle - half), center + spread * (middle + half)
        return low, high

    def absorb(self, rows: Floats, *, quantile: float, memory_rows: int) -> None:
        """Learn from rows that were found quiet: each weighs as one of all seen, or of the last `memory_rows`."""
        distances = self.distances(rows)
        distances = distances[np.isfinite(distances)]
        if not len(distances):
            return
        weight = len(rows) / min(self.seen + len(rows), memory_rows)
        beyond = float(np.mean(distances > 1.0)) / (1.0 - quantile)
        # The quantile by stochastic approximation (Robbins and Monro 1951): blocks are too short to have one.
        self.reach = max(self.reach * math.exp(_REACH_STEP * weight * (min(beyond, _BEYOND_MAX) - 1.0)), _TINY)
        self.seen = min(self.seen + len(rows), memory_rows)
        self._blend(rows, weight)

    def adopt(self, rows: Floats, share: float) -> None:
        """Take `rows` for normal, too: as if this `share` of all that was seen had been like them."""
        self._blend(rows, share)

    def snapshot(self) -> dict[str, Any]:
        """Plain data for `restored`."""
        return {
            "center": self.center.tolist(),
            "covariance": self.covariance.tolist(),
            "reach": self.reach,
            "seen": self.seen,
        }

    @classmethod
    def restored(cls, snapshot: dict[str, Any], *, ridge: float) -> "Normal":
        """The normal whose `snapshot` this is."""
        center = np.asarray(snapshot["center"], dtype=np.float64)
        covariance = np.asarray(snapshot["covariance"], dtype=np.float64)
        return cls(center, covariance, ridge=ridge, reach=float(snapshot["reach"]), seen=int(snapshot["seen"]))

    def _blend(self, rows: Floats, weight: float) -> None:
        there = np.isfinite(rows)
        off = rows - self.center
        # A channel that was missing in these rows keeps what it knows.
        known = there.any(axis=0)
        moved = np.where(there, off, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        # Around the old center: rows that lie apart widen the spread, which is what wandering should do.
        covariance = (1.0 - weight) * self.covariance + weight * _covariance(off)
        self.covariance = np.where(np.outer(known, known), covariance, self.covariance)
        self.center = self.center + weight * moved
        self._prepare()

    def _prepare(self) -> None:
        self._spread = np.sqrt(np.maximum(np.diag(self.covariance), _TINY))
        self._correlation = self.covariance / np.outer(self._spread, self._spread)
        self._all = np.ones(len(self.center), dtype=bool)
        self._kept: dict[bytes, tuple[Floats, Floats]] = {}

    def _adjusted(self, z: Floats, there: NDArray[np.bool_]) -> Floats:
        _, weights = self._matrices(there)
        return np.asarray(z @ weights)

    def _matrices(self, there: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """The precision of the channels that are there, and the same scaled so that z @ it are their deviations."""
        key = there.tobytes()
        if key not in self._kept:
            if len(self._kept) >= _PATTERNS_MAX:
                self._kept.clear()
            self._kept[key] = self._invert(self._correlation[np.ix_(there, there)])
        return self._kept[key]

    def _invert(self, correlation: Floats) -> tuple[Floats, Floats]:
        # Pairwise moments of rows with gaps need not be positive; the eigenvalues are made so.
        values, vectors = np.linalg.eigh(correlation)
        precision = (vectors / (np.maximum(values, 0.0) + self._ridge)) @ vectors.T
        return precision, precision / np.sqrt(np.diag(precision))


def _covariance(off: Floats) -> Floats:
    """Second moments of deviations (n, channels), pair by pair over the rows where both are there."""
    there = np.isfinite(off)
    filled = np.where(there, off, 0.0)
    counts = there.T.astype(np.float64) @ there
    return np.asarray(filled.T @ filled / np.maximum(counts, 1.0))
