"""When a trend reaches its limit: the distribution of the first passage, and its quantiles.

For one curve the level at time t is normal, with the mean and variance of its posterior, so the probability that the
limit has been reached by t has a closed form (Gebraeel et al. 2005, equation 10); a trend's is the weighted mean of
its curves', given that it has not been reached by now. How far the last point lies off the curve fades as its
neighbours' correlation says. No machine keeps its pace: the way still to go is multiplied by a factor whose spread is
PACE_SPREAD.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.prognosis.regression import Array
from fieldline_cloud.prognosis.trend import Curve, Trend

__all__ = ["QUANTILES", "remaining_h"]

QUANTILES: Final = (0.1, 0.5, 0.9)
"""Of the remaining life, in the order of a prognosis."""
PACE_SPREAD: Final = 0.3
"""Standard deviation of the pace from now on, as a share of the pace up to now."""
_TIMES: Final = 240
_FIRST_H: Final = 0.01


def remaining_h(
    trend: Trend, limit: float, *, last_h: float, now_h: float, point_h: float, horizon_h: float
) -> tuple[float, float, float] | None:
    """QUANTILES of the hours from `now_h` until the limit is reached; None if even odds lie beyond `horizon_h`.

    `last_h` is the time of the trend's last point, `point_h` the time between points. What lies beyond the horizon is
    said to lie at it.
    """
    ahead_h = np.concatenate([[0.0], np.geomspace(_FIRST_H, horizon_h, _TIMES)])
    reached = _reached_by(trend, limit, now_h + ahead_h, last_h, point_h)
    if reached[0] >= 1.0 - 1e-9:
        return 0.0, 0.0, 0.0
    share = (reached - reached[0]) / (1.0 - reached[0])
    if share[-1] < 0.5:
        return None
    keep = np.concatenate([[True], np.diff(share) > 0.0])
    low, middle, high = np.interp(QUANTILES, share[keep], ahead_h[keep], right=horizon_h).tolist()
    return low, middle, high


def _reached_by(trend: Trend, limit: float, at_h: Array, last_h: float, point_h: float) -> Array:
    """The probability, at each of these ascending times, that the limit has been reached by then."""
    points = np.maximum(at_h - last_h, 0.0) / point_h
    fading = trend.correlation**points if trend.correlation > 0.0 else (points == 0.0).astype(float)
    wander = trend.spread**2 * (1.0 - fading**2)
    total = np.zeros(len(at_h))
    for curve in trend.curves:
        mean, variance = _level(curve, at_h, last_h)
        mean = mean + trend.residual * fading
        total += curve.weight * _normal_cdf((mean - limit) / np.sqrt(variance + wander + 1e-300))
    return np.minimum(np.maximum.accumulate(total), 1.0)


def _level(curve: Curve, at_h: Array, last_h: float) -> tuple[Array, Array]:
    shape = curve.g(at_h)
    ahead = PACE_SPREAD * curve.slope * (shape - curve.g(np.array([last_h])))
    variance = curve.level_var + 2.0 * shape * curve.covariance + shape**2 * curve.slope_var
    return curve.level + curve.slope * shape, np.maximum(variance, 0.0) + ahead**2


def _normal_cdf(z: Array) -> NDArray[np.float64]:
    """To 1e-7 (M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, 26.2.17)."""
    size = np.minimum(np.abs(z), 40.0)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-0.5 * size**2) / math.sqrt(2.0 * math.pi) * series
    return np.where(z >= 0.0, 1.0 - tail, tail)
