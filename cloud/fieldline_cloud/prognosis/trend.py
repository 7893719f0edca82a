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
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Steps", "Trend", "find_trend"]

Array = NDArray[np.float64]

SHAPES: Final = ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (1.0, 1.0), (1.0, 2.0), (1.0, 4.0))
"""(power, growth): t^power, or exponential where growth, the exponent over the time from onset to now, is not 0."""
ONSETS_MAX: Final = 20
"""Onsets tried, evenly over the points."""
AFTER_MIN: Final = 4
"""Points after an onset without which it is not tried."""
STEP_AFTER_MIN: Final = 24
"""Points after a change of level before it is believed to stay: a shift, a day, a weekend may pass."""
EVIDENCE_MIN: Final = 5.0
"""Logarithm of the odds from which a trend, or a change of level, is believed: 150 to 1 ("very strong", Kass and
Raftery, JASA 90 (1995))."""
WEIGHT_MIN: Final = 1e-3
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
class Steps:
    """The level changed at `at_h` and is otherwise without a trend."""

    at_h: float


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


@dataclass(frozen=True, slots=True)
class _Fits:
    """Least squares of y on [1, g] for many g at once: arrays over the combinations."""

    level: Array
    slope: Array
    squares: Array
    level_var: Array  # these three in units of the variance of one point
    slope_var: Array
    covariance: Array


def find_trend(times_h: Array, values: Array, weights: Array, *, believed: bool = False) -> Trend | Steps | None:
    """A rising trend in the points, a change of level, or None: nothing to be said.

    Times in hours, ascending; `weights` are the lengths of time each point stands for. `believed` says that the points
    are known to rise: then the question is only how.
    """
    count = len(times_h)
    if count < 2 * AFTER_MIN:
        return None
    weights = weights / weights.mean()
    starts = np.unique(np.linspace(0, count - AFTER_MIN, min(ONSETS_MAX, count - AFTER_MIN + 1)).astype(int))
    onsets_h, powers, growths_per_h = _grid(times_h, starts)
    shapes = _shapes(times_h, onsets_h, powers, growths_per_h)
    fits = _regress(shapes, values, weights)
    rising = np.where(fits.slope > 0.0, fits.squares, math.inf)
    steps = _regress((np.arange(count) >= np.arange(1, count)[:, None]).astype(float), values, weights).squares
    level = float(np.average(values, weights=weights))
    flat = float(weights @ (values - level) ** 2)
    floor = 1e-12 * max(flat, level * level) + 1e-300  # a series without any noise
    best = int(np.argmin(rising))
    if not math.isfinite(rising[best]):
        if believed:
            return None
        return _step(times_h, steps, flat, 0.0, floor)
    residuals = values - fits.level[best] - fits.slope[best] * shapes[best]
    correlation = _correlation(residuals)
    effective = max(count * (1.0 - correlation) / (1.0 + correlation), 3.0)

    def evidence(squares: Any, parameters: Any) -> Any:
        return -0.5 * (effective * np.log(np.maximum(squares, floor)) + parameters * math.log(effective))

    trends = evidence(rising, np.where((powers > 1.0) | (growths_per_h > 0.0), 4.0, 3.0))
    against = max(evidence(flat, 1.0), float(evidence(steps.min(), 3.0)))
    if not believed and trends.max() - against < EVIDENCE_MIN:
        return _step(times_h, steps, min(flat, float(rising[best])), correlation, floor)
    share = np.exp(trends - trends.max())
    share = np.where(share < WEIGHT_MIN, 0.0, share)
    share /= share.sum()
    variance = max(float(rising[best]), floor) / max(count - 3, 1)
    inflated = variance * count / effective
    curves = tuple(
        Curve(
            weight=float(share[i]),
            onset_h=float(onsets_h[i]),
            power=float(powers[i]),
            growth_per_h=float(growths_per_h[i]),
            level=float(fits.level[i]),
            slope=float(fits.slope[i]),
            level_var=float(fits.level_var[i] * inflated),
            slope_var=float(fits.slope_var[i] * inflated),
            covariance=float(fits.covariance[i] * inflated),
        )
        for i in np.flatnonzero(share)
    )
    trend = Trend(curves, math.sqrt(variance), correlation, 0.0)
    residual = float(values[-1]) - trend.at(float(times_h[-1]))
    return Trend(curves, math.sqrt(variance), correlation, residual)


def _grid(times_h: Array, starts: NDArray[np.int_]) -> tuple[Array, Array, Array]:
    """Onset, power and growth per hour of every combination."""
    onsets_h = np.repeat(times_h[starts], len(SHAPES))
    powers, growths = np.tile(np.array(SHAPES), (len(starts), 1)).T
    return onsets_h, powers, growths / np.maximum(times_h[-1] - onsets_h, 1e-9)


def _shapes(times_h: Array, onsets_h: Array, powers: Array, growths_per_h: Array) -> Array:
    """g of every combination (rows) at every time (columns)."""
    shapes = np.maximum(times_h[None, :] - onsets_h[:, None], 0.0)
    grows = growths_per_h > 0.0
    shapes[grows] = np.expm1(growths_per_h[grows, None] * shapes[grows]) / growths_per_h[grows, None]
    for power in (2, 3):
        shapes[powers == power] **= power
    return shapes


def _regress(shapes: Array, values: Array, weights: Array) -> _Fits:
    total = weights.sum()
    mean_g = shapes @ weights / total
    mean_y = float(weights @ values / total)
    apart = values - mean_y
    centred = shapes - mean_g[:, None]
    spread = np.maximum(np.einsum("ij,ij,j->i", centred, centred, weights), 1e-300)
    slope = centred @ (weights * apart) / spread
    squares = np.maximum(weights @ apart**2 - slope**2 * spread, 0.0)
    return _Fits(
        level=mean_y - slope * mean_g,
        slope=slope,
        squares=squares,
        level_var=1.0 / total + mean_g**2 / spread,
        slope_var=1.0 / spread,
        covariance=-mean_g / spread,
    )


def _correlation(residuals: Array) -> float:
    """Of neighbours; 0 to CORRELATION_MAX."""
    squares = float(residuals @ residuals)
    found = float(residuals[1:] @ residuals[:-1]) / squares if squares > 0.0 else 0.0
    return min(max(found, 0.0), CORRELATION_MAX)


def _step(times_h: Array, steps: Array, other: float, correlation: float, floor: float) -> Steps | None:
    """The change of level, if it has lasted and explains the points so much better than anything else does."""
    count = len(times_h)
    best = int(np.argmin(steps))
    if count - (best + 1) < STEP_AFTER_MIN:
        return None
    effective = max(count * (1.0 - correlation) / (1.0 + correlation), 3.0)
    gain = 0.5 * effective * math.log(max(other, floor) / max(float(steps[best]), floor))
    if gain - math.log(effective) < EVIDENCE_MIN:
        return None
    return Steps(float(times_h[best + 1]))
