"""The measures of a remaining-life estimate. Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "coverage", "phm_score", "rmse"]

Array = NDArray[np.float64]
LEVELS: Final = (0.1, 0.5, 0.9)


def rmse(estimates: Array, truths: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((estimates - truths) ** 2)))


def phm_score(estimates: Array, truths: Array) -> float:
    """The sum of the PHM08 challenge (A. Saxena et al. 2008): an estimate that is too late costs more."""
    late = estimates - truths
    return float(np.where(late < 0.0, np.expm1(-late / 13.0), np.expm1(late / 10.0)).sum())


def coverage(quantiles: Array, truths: Array, weights: Array | None = None) -> list[float]:
    """The share of truths below each column of `quantiles`; a truth that equals it counts half."""
    below = (truths[:, None] < quantiles) + 0.5 * (truths[:, None] == quantiles)
    return [float(share) for share in np.average(below, axis=0, weights=weights)]
