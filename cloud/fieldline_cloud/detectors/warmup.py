"""What a short stretch of normal running teaches about the channels of a device: scale, noise, wandering. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.detectors.channels import Channels
from fieldline_cloud.detectors.normal import Floats, Normal

__all__ = ["Lesson", "Study", "learn"]

_MAD: Final = 1.4826
"""Standard deviations of a normal in its median absolute deviation."""
_WIDTH_98: Final = 4.6527
"""Standard deviations of a normal between its 1 % and 99 % quantiles."""
_CUT: Final = 10.0
"""The warm-up itself is cut at this many spreads: a spike in it must not make the detector deaf."""
_RESOLUTION: Final = 1e-9
"""A channel that moves by less than this share of its size is constant: it has shown no noise to judge it by."""
_START_ROWS: Final = 20
"""Values whose median is where a wandering level starts."""
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Study:
    """How the warm-up is read; see `JointSettings` for what each means."""

    smoothing: float
    clip: float
    ridge: float
    quantile: float
    block_rows: int
    wandering_from: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned: the columns that can be judged, their channels, ready to go on, and their normal."""

    columns: NDArray[np.intp]
    channels: Channels
    normal: Normal


def learn(rows: Floats, study: Study) -> Lesson | None:
    """Learn from `rows` (n, channels), NaN for no good value; None where no channel has moved in half of the rows."""
    rows = np.where(np.isfinite(rows), rows, np.nan)
    often = np.flatnonzero(np.isfinite(rows).sum(axis=0) * 2 >= len(rows))
    level, spread = _level_and_spread(rows[:, often])
    lively = spread > _RESOLUTION * np.abs(level)
    columns, level, spread = often[lively], level[lively], spread[lively]
    if not len(columns):
        return None
    cut = np.clip(rows[:, columns], level - _CUT * spread, level + _CUT * spread)
    gains = _gains(cut, study)
    starts = _starts(cut, gains)
    # Twice: the scale that counts is that of what is left when the level has been followed.
    left = Channels(gains, spread, starts, smoothing=1.0, clip=np.inf).follow(cut)
    scales = spread * np.maximum(_level_and_spread(left[study.block_rows :])[1], _RESOLUTION)
    channels = Channels(gains, scales, starts, smoothing=study.smoothing, clip=study.clip)
    settled = channels.follow(cut)[study.block_rows :]
    return Lesson(columns, channels, Normal.of(settled, ridge=study.ridge, quantile=study.quantile))


def _starts(rows: Floats, gains: Floats) -> Floats:
    """Where the levels are at first: a wandering one where it began, the others at their mean."""
    starts = np.nanmean(rows, axis=0)
    for column in np.flatnonzero(gains):
        values = rows[:, column]
        starts[column] = np.median(values[np.isfinite(values)][:_START_ROWS])
    return np.asarray(starts)


def _level_and_spread(rows: Floats) -> tuple[Floats, Floats]:
    """Median and spread of each column, deaf to spikes: the median deviation, or the 98 % width where that is more."""
    level = np.nanmedian(rows, axis=0)
    deviation = _MAD * np.nanmedian(np.abs(rows - level), axis=0)
    low, high = np.nanquantile(rows, [0.01, 0.99], axis=0)
    return np.asarray(level), np.maximum(deviation, (high - low) / _WIDTH_98)


def _gains(rows: Floats, study: Study) -> Floats:
    """The gain each level is followed with; 0 for a channel that keeps its level.

    A random walk of variance q a row under white noise of variance r makes the means of neighbouring blocks of B rows
    differ by a variance of 2 (q B / 3 + r / B) and neighbouring rows by 2 r (+ q). Their ratio tells q / r, and that
    the steady gain. A ratio below `wandering_from` is no wandering: few blocks say little, and a channel whose level
    is followed is blind to what comes slowly.
    """
    size = study.block_rows
    blocks = rows[: len(rows) // size * size].reshape(-1, size, rows.shape[1])
    there = np.isfinite(blocks)
    counts = there.sum(axis=1)
    means = np.where(counts > 0, np.where(there, blocks, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)
    noise = np.maximum(_half_mean_square(np.diff(rows, axis=0)), _TINY)
    ratio = _half_mean_square(np.diff(means, axis=0)) * size / noise
    drive = 3.0 * np.maximum(ratio - study.wandering_from, 0.0) / size**2
    return np.asarray((np.sqrt(drive * drive + 4.0 * drive) - drive) / 2.0)


def _half_mean_square(steps: Floats) -> Floats:
    there = np.isfinite(steps)
    squares = np.where(there, steps, 0.0) ** 2
    return np.asarray(squares.sum(axis=0) / np.maximum(there.sum(axis=0), 1) / 2.0)
