"""Exponential means of many columns over a batch of rows, without a step in Python for each row. Pure."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "first_known", "held", "trailing"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def trailing(rows: Floats, before: Floats, rates: Floats) -> Floats:
    """The exponential means (n, columns) of `rows`, which went on from `before` (columns,).

    `rates` (n,), from 0 to 1, is how much each row counts. Where `before` is NaN a mean begins with the first row.
    """
    weights, fading = _weights(rates.tobytes())
    start = np.where(np.isnan(before), rows[0], before)
    found: Floats = weights @ rows + fading * start
    return found


@lru_cache(maxsize=1_024)
def _weights(rates: bytes) -> tuple[Floats, Floats]:
    """What each row (n, n) and the mean before (n, 1) count in each mean: rows mostly come at the same pace."""
    rate = np.frombuffer(rates)
    since = np.cumsum(np.log1p(-np.minimum(rate, 1.0 - 1e-12)))
    ages = np.minimum(since[:, None] - since[None, :], 0.0)
    return np.tril(np.exp(ages)) * rate, np.exp(since)[:, None]


def held(rows: Floats, before: Floats) -> Floats:
    """`rows` with NaN replaced by what the column said before; NaN until it has said anything."""
    known = np.isfinite(rows)
    if known.all():
        return rows
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
