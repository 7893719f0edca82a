"""Least squares of many curves at once: a level, and a shape that begins at an onset."""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["AFTER_MIN", "Array", "Evidence", "Fits", "Grid", "least_squares"]

Array = NDArray[np.float64]

SHAPES: Final = ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (1.0, 1.0), (1.0, 2.0), (1.0, 4.0))
"""(power, growth): t^power, or exponential where growth, the exponent over the time from onset to now, is not 0."""
ONSETS_MAX: Final = 20
"""Onsets tried, evenly over the points."""
AFTER_MIN: Final = 4
"""Points after an onset without which it is not tried."""
NOISE_MIN: Final = 1e-12
"""Of the squares of a series: no series is taken to be more exact."""
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of an onset and a shape: arrays over the combinations, times in hours."""

    onsets_h: Array
    powers: Array
    growths_per_h: Array

    @classmethod
    def over(cls, times_h: Array) -> Self:
        """Onsets spread over ascending times, each with every shape."""
        last = len(times_h) - AFTER_MIN
        starts = np.unique(np.linspace(0, last, min(ONSETS_MAX, last + 1)).astype(int))
        onsets_h = np.repeat(times_h[starts], len(SHAPES))
        powers, growths = np.tile(np.array(SHAPES), (len(starts), 1)).T
        return cls(onsets_h, powers, growths / np.maximum(times_h[-1] - onsets_h, 1e-9))

    @property
    def parameters(self) -> Array:
        """How many numbers each combination was free to choose: level, slope, onset, and the bend where it has one."""
        return np.where((self.powers > 1.0) | (self.growths_per_h > 0.0), 4.0, 3.0)

    def shapes(self, times_h: Array) -> Array:
        """The shape of every combination (rows) at every time (columns)."""
        shapes = np.maximum(times_h[None, :] - self.onsets_h[:, None], 0.0)
        grows = self.growths_per_h > 0.0
        growths_per_h = self.growths_per_h[grows, None]
        shapes[grows] = np.expm1(growths_per_h * shapes[grows]) / growths_per_h
        for power in (2, 3):
            shapes[self.powers == power] **= power
        return shapes


@dataclass(frozen=True, slots=True)
class Fits:
    """Least squares of y on [1, shape]: arrays over the shapes. `squares`: what is left."""

    level: Array
    slope: Array
    squares: Array
    level_var: Array  # these three in units of the variance of one point
    slope_var: Array
    covariance: Array


def least_squares(shapes: Array, values: Array, weights: Array) -> Fits:
    """Of `values` (points,) on every row of `shapes` (shapes, points)."""
    total = weights.sum()
    mean_shape = shapes @ weights / total
    mean_value = float(weights @ values / total)
    apart = values - mean_value
    centred = shapes - mean_shape[:, None]
    spread = np.maximum(np.einsum("ij,ij,j->i", centred, centred, weights), _TINY)
    slope = centred @ (weights * apart) / spread
    return Fits(
        level=mean_value - slope * mean_shape,
        slope=slope,
        squares=np.maximum(weights @ apart**2 - slope**2 * spread, 0.0),
        level_var=1.0 / total + mean_shape**2 / spread,
        slope_var=1.0 / spread,
        covariance=-mean_shape / spread,
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """Logarithm of how well a model explains the points (G. Schwarz, Annals of Statistics 6 (1978)).

    `effective` is the number of points as if they were independent, `flat` what the best level without a trend leaves.
    """

    effective: float
    flat: float
    floor: float

    @classmethod
    def of(cls, values: Array, weights: Array, correlation: float) -> Self:
        """For points whose neighbours correlate so."""
        level = float(np.average(values, weights=weights))
        flat = float(weights @ (values - level) ** 2)
        effective = max(len(values) * (1.0 - correlation) / (1.0 + correlation), 3.0)
        return cls(effective, flat, NOISE_MIN * max(flat, level * level) + _TINY)

    def __call__(self, squares: Array | float, parameters: Array | float) -> Array:
        """Of models by their squares and the numbers they were free to choose; -inf for infinite squares."""
        fit = np.log(np.maximum(squares, self.floor))
        return np.asarray(-0.5 * (self.effective * fit + parameters * math.log(self.effective)))
