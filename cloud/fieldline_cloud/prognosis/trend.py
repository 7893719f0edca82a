"""Whether an indicator degrades, since when and along which curve: Bayesian regression averaged over onsets and shapes.

A curve is `a + b g(t)` with g zero up to an onset and then straight, a power of time, or exponential as in N. Z.
Gebraeel, M. A. Lawley, R. Li, J. K. Ryan, "Residual-life distributions from component degradation signals: a Bayesian
approach", IIE Transactions 37 (2005). For a given onset and shape it is linear in (a, b), so that every combination on
a grid has a posterior in closed form; combinations are weighted by their evidence (Schwarz's approximation; J. A.
Hoeting et al., "Bayesian model averaging", Statistical Science 14 (1999)). What stands against them is a level without
a trend, and a level that changed once: another load, another sensor. The errors are correlated (load, temperature, time
of day), so n readings count as n (1 - r) / (1 + r), r being the residuals' correlation from one point to the next.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fieldline_cloud.prognosis.regression import AFTER_MIN, Array, Evidence, Fits, Grid, least_squares

__all__ = ["Curve", "Step", "Trend", "find_trend"]

EVIDENCE_MIN: Final = 5.0
"""Logarithm of the odds from which a trend, or a change of level, is believed: 150 to 1, "very strong" (R. E. Kass,
A. E. Raftery, "Bayes factors", Journal of the American Statistical Association 90 (1995))."""
STEP_AFTER_MIN: Final = 24
"""Points after a change of level before it is believed to stay: a shift, a day, a weekend may pass."""
WEIGHT_MIN: Final = 1e-3
"""A curve with less weight, beside the best one, is left out."""
CORRELATION_MAX: Final = 0.97
_EXPONENT_MAX: Final = 200.0  # squares of its exponential are still numbers


@dataclass(frozen=True, slots=True)
class Curve:
    """One combination with its posterior: level a, slope b per g, their covariances; times in hours."""

    weight: float
    onset_h: float
    power: float
    growth_per_h: float
    level: float
    slope: float
    level_var: float
    slope_var: float
    covariance: float

    def g(self, at_h: Array) -> Array:
        """The curve's shape at these times."""
        since_h = np.maximum(at_h - self.onset_h, 0.0)
        if self.growth_per_h == 0.0:
            return since_h**self.power
        return np.expm1(np.minimum(self.growth_per_h * since_h, _EXPONENT_MAX)) / self.growth_per_h


@dataclass(frozen=True, slots=True)
class Step:
    """The level changed, and is otherwise without a trend; `first` is the first point of the new level."""

    first: int


@dataclass(frozen=True, slots=True)
class Trend:
    """Curves whose weights sum to 1, the spread of points around them and how it fades from point to point."""

    curves: tuple[Curve, ...]
    spread: float
    correlation: float
    residual: float
    """How far the last point lies above the mean curve."""

    @property
    def onset_h(self) -> float:
        """When it began, by the weights."""
        return sum(curve.weight * curve.onset_h for curve in self.curves)

    @property
    def level(self) -> float:
        """Where it began."""
        return sum(curve.weight * curve.level for curve in self.curves)

    @property
    def accelerating(self) -> float:
        """The probability that it is no straight line."""
        return sum(curve.weight for curve in self.curves if curve.growth_per_h > 0.0 or curve.power > 1.0)

    def at(self, at_h: float) -> float:
        """The mean curve at a time."""
        time = np.array([at_h])
        return float(sum(curve.weight * (curve.level + curve.slope * curve.g(time)[0]) for curve in self.curves))


def find_trend(times_h: Array, values: Array, weights: Array, *, believed: bool = False) -> Trend | Step | None:
    """A rising trend in the points, a change of level, or None: nothing to be said.

    Times in hours, ascending; `weights` are the lengths of time each point stands for. `believed` says that the points
    are known to rise: then the question is only how.
    """
    if len(times_h) < 2 * AFTER_MIN:
        return None
    weights = weights / weights.mean()
    grid = Grid.over(times_h)
    shapes = grid.shapes(times_h)
    fits = least_squares(shapes, values, weights)
    squares = np.where(fits.slope > 0.0, fits.squares, math.inf)
    best = int(np.argmin(squares))
    rises = math.isfinite(squares[best])
    correlation = _correlation(values - fits.level[best] - fits.slope[best] * shapes[best]) if rises else 0.0
    evidence = Evidence.of(values, weights, correlation)
    trends = evidence(squares, grid.parameters)
    if not believed:
        flat = float(evidence(evidence.flat, 1.0))
        steps = evidence(_step_squares(values, weights), 3.0)
        if trends.max() - max(flat, steps.max()) < EVIDENCE_MIN:
            return _step(steps, max(flat, float(trends.max())))
    if not rises:
        return None
    variance = max(float(squares[best]), evidence.floor) / max(len(values) - 3, 1)
    curves = _averaged(grid, fits, trends, variance * len(values) / evidence.effective)
    trend = Trend(curves, math.sqrt(variance), correlation, residual=0.0)
    return replace(trend, residual=float(values[-1]) - trend.at(float(times_h[-1])))


def _correlation(residuals: Array) -> float:
    """Of neighbours; 0 to CORRELATION_MAX."""
    squares = float(residuals @ residuals)
    found = float(residuals[1:] @ residuals[:-1]) / squares if squares > 0.0 else 0.0
    return min(max(found, 0.0), CORRELATION_MAX)


def _step_squares(values: Array, weights: Array) -> Array:
    """What two levels leave, for a change before the second point, before the third, and so on."""
    count = len(values)
    steps = np.arange(count) >= np.arange(1, count)[:, None]
    return least_squares(steps.astype(float), values, weights).squares


def _step(steps: Array, against: float) -> Step | None:
    """The change of level, if it has lasted and explains the points so much better than anything else does."""
    first = int(np.argmax(steps)) + 1
    lasts = len(steps) + 1 - first >= STEP_AFTER_MIN
    return Step(first) if lasts and steps[first - 1] - against >= EVIDENCE_MIN else None


def _averaged(grid: Grid, fits: Fits, trends: Array, variance: float) -> tuple[Curve, ...]:
    """The curves that matter, weighted by their evidence; `variance` of one point as if all were independent."""
    share = np.exp(trends - trends.max())
    share = np.where(share < WEIGHT_MIN, 0.0, share)
    share /= share.sum()
    return tuple(
        Curve(
            weight=float(share[i]),
            onset_h=float(grid.onsets_h[i]),
            power=float(grid.powers[i]),
            growth_per_h=float(grid.growths_per_h[i]),
            level=float(fits.level[i]),
            slope=float(fits.slope[i]),
            level_var=float(fits.level_var[i] * variance),
            slope_var=float(fits.slope_var[i] * variance),
            covariance=float(fits.covariance[i] * variance),
        )
        for i in np.flatnonzero(share)
    )
