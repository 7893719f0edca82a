"""Exponential means of many columns over a batch of rows, without a step in Python for each row. Pure."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Weights", "evenly", "first_known", "held", "lately", "trailing"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = tuple[Floats, Floats]
"""What each row (..., n, n) and the mean before (..., n, 1) count in each mean."""

_S = 1e9


def trailing(rows: Floats, before: Floats, weights: Weights) -> Floats:
    """The exponential means (..., n, columns) of `rows` (n, columns), which went on from `before` (..., columns).

    Where `before` is NaN a mean begins with the first row.
    """
    of_rows, fading = weights
    start = np.where(np.isnan(before), rows[0], before)
    found: Floats = of_rows @ rows
    found += fading * start[..., None, :]
    return found


@lru_cache(maxsize=256)
def evenly(count: int, rate: float) -> Weights:
    """Each of `count` rows counts `rate`, from 0 to 1, in its mean."""
    return _weights(np.full(count, rate))


@lru_cache(maxsize=256)
def lately(passed_ns: bytes, late_s: tuple[float, ...]) -> Weights:
    """Means with these time constants, all at once; `passed_ns` are those int64 of the time before each row."""
    passed_s = np.frombuffer(passed_ns, np.int64) / _S
    of_rows, fading = zip(*(_weights(-np.expm1(-passed_s / each)) for each in late_s), strict=True)
    return np.stack(of_rows), np.stack(fading)


def _weights(rates: Floats) -> Weights:
    since = np.cumsum(np.log1p(-np.minimum(rates, 1.0 - 1e-12)))
    ages = np.minimum(since[:, None] - since[None, :], 0.0)
    return np.tril(np.exp(ages)) * rates, np.exp(since)[:, None]


def held(rows: Floats, known: NDArray[np.bool_], before: Floats) -> Floats:
    """`rows`, where not `known` what the column said before; NaN until it has said anything."""
    place = np.where(known, np.arange(len(rows))[:, None], -1)
    np.maximum.accumulate(place, axis=0, out=place)
    taken = np.take_along_axis(rows, np.maximum(place, 0), axis=0)
    found: Floats = np.where(place < 0, before, taken)
    return found


def first_known(rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows whose leading NaN are the first value of their column, and which they were; 0 in columns without any."""
    unknown: NDArray[Any] = np.isnan(rows)
    if not unknown.any():
        return rows, unknown
    place = np.argmin(unknown, axis=0)
    first = rows[place, np.arange(rows.shape[1])]
    return np.where(unknown, np.nan_to_num(first), rows), unknown
