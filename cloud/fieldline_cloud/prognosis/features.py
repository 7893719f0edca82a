"""What a machine's history says of its wear, step by step: smoothed channels, their way from the beginning, an index.

Everything looks back only: the features of a step are the same whatever comes after it.
"""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEGINNING", "TAIL", "HealthIndex", "base_features", "ewma"]

Array = NDArray[np.float64]

SPANS: Final = (5, 15, 40)
"""Steps over which channels are smoothed."""
BEGINNING: Final = 20
"""Steps whose mean is a machine's own beginning: machines are made differently, and wear shows against that."""
LAGS: Final = (10, 20, 40)
"""Steps over which the index is followed."""
TAIL: Final = 500
"""Steps behind the beginning that are enough for all features: what came before weighs less than 1e-10 in any mean."""
_BLOCKS, _WAY = 6, 4  # of the base features behind the age, and which of them is the way from the beginning


def ewma(values: Array, *spans: int) -> list[Array]:
    """Exponentially weighted means of all steps so far, (steps, channels) for each span; NaN where there was no value.

    A step without a value leaves the mean of its channel as it was.
    """
    shares = np.repeat([2.0 / (span + 1.0) for span in spans], values.shape[1])
    wide = np.tile(values, len(spans))
    good = np.isfinite(wide)
    kept = np.where(good, 1.0 - shares, 1.0)
    sums, weights = np.where(good, shares * wide, 0.0), np.where(good, shares, 0.0)
    for step in range(1, len(values)):
        sums[step] += kept[step] * sums[step - 1]
        weights[step] += kept[step] * weights[step - 1]
    means = np.divide(sums, weights, out=np.full_like(sums, np.nan), where=weights > 0.0)
    return np.split(means, len(spans), axis=1)


def base_features(values: Array, *, skipped: int = 0) -> Array:
    """Age and, of each channel, its means, its change and its way from the beginning: (steps, 1 + 6 x channels).

    `skipped` steps after the first 20 were left out of `values`: they count for the age alone.
    """
    short, middle, long = ewma(values, *SPANS)
    good = np.isfinite(values)
    so_far = np.minimum(np.arange(len(values)), BEGINNING - 1)
    counts = np.cumsum(good, axis=0)[so_far]
    sums = np.cumsum(np.where(good, values, 0.0), axis=0)[so_far]
    beginning = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    age = np.arange(1.0, len(values) + 1.0)
    age[BEGINNING:] += skipped
    return np.column_stack([age, short, middle, long, short - long, middle - beginning, long - beginning])


class HealthIndex:
    """One number for all channels, which grows with wear: how far each has gone from the beginning, and how it moves.

    A channel weighs as much as its way correlates with the remaining life. Weights from a regression were tried: they
    fit the machines they were learned from too well.
    """

    def __init__(self) -> None:
        self._weights: Array = np.empty(0)

    def fit(self, base: Array, life: Array) -> Self:
        """Learn from rows of base features and the lives that remained."""
        ways = _ways(base)
        apart = ways - ways.mean(axis=0)
        spread = np.maximum(apart.std(axis=0), 1e-12)
        correlation = apart.T @ (life - life.mean()) / (len(life) * spread * max(float(life.std()), 1e-12))
        self._weights = -correlation / spread / max(float(np.abs(correlation).sum()), 1e-12)
        return self

    def features(self, base: Array) -> Array:
        """The base features of one machine with those of its index behind them."""
        index = _ways(base) @ self._weights
        smooth = ewma(index[:, None], BEGINNING)[0][:, 0]
        moves = [index - index[np.maximum(np.arange(len(index)) - lag, 0)] for lag in LAGS]
        return np.column_stack([base, index, smooth, *moves])


def _ways(base: Array) -> Array:
    """Of each channel, how far its mean has gone from the beginning; 0 where it has no value."""
    channels = (base.shape[1] - 1) // _BLOCKS
    return np.nan_to_num(base[:, 1 + _WAY * channels : 1 + (_WAY + 1) * channels], nan=0.0)
