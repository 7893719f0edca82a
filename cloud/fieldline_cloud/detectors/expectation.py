"""What each channel of a device is expected to be, learned from remembered rows: regressions on its drivers. Pure.

Ridge regression (A. E. Hoerl, R. W. Kennard, "Ridge regression", Technometrics 12, 1970); a channel judged by what is
left of it beside the others is a regression-adjusted variable (D. M. Hawkins, Technometrics 33, 1991). Where drivers
are as they never were, the leverage is high and says how little is known there (D. C. Hoaglin, R. E. Welsch, "The hat
matrix in regression and ANOVA", The American Statistician 32, 1978).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.detectors.drivers import HOURS, Drivers
from fieldline_cloud.detectors.trailing import Floats, Ints

__all__ = ["Expectation", "LearningSettings", "learn"]

ROWS_MIN: Final = 16
"""Remembered rows from which on something is expected of a channel."""
ROUGH_ROWS_MIN: Final = 40
LARGEST_ROWS_MIN: Final = 20
_ALIKE: Final = 5.0
"""Neighbouring rows are alike: so many times more than independent ones they pull a regression to themselves."""
_FEW: Final = 10.0
_BEGINNER: Final = 4
"""Whoever has seen a quarter of it was often wrong: what was off then does not count."""


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """`ridge` and `hour_ridge` shrink what drivers and the hour explain, as shares of the variance of a feature.

    A set of drivers is used if it leaves less than `better` of what a simpler one leaves. To the usual deviation
    (97.5 % quantile) comes the larger of `floor` of the value and `extent_floor` of its range, to the usual roughness
    `rough_floor` of the range: less is nobody's alarm.
    """

    ridge: float = 1e-3
    hour_ridge: float = 0.02
    better: float = 0.6
    floor: float = 0.005
    extent_floor: float = 0.02
    rough_floor: float = 0.001


@dataclass(frozen=True, slots=True)
class _Groups:
    """Channels explained by one set of drivers are a group: all side by side, so that few calls do for all of them.

    `spread` (features, columns) has the columns of group after group, which begin at `starts`; the last one is zero,
    that of channels without drivers. `of` (channels,) is the group of each, `uses` (features, channels) what it needs.
    """

    spread: Floats
    starts: Ints
    of: Ints
    uses: NDArray[np.bool_]

    def leverages(self, away: Floats) -> Floats:
        """Those (n, channels) of features that are so far away (n, features) from their means."""
        apart = away @ self.spread
        apart *= apart
        found: Floats = np.add.reduceat(apart, self.starts, axis=1)[:, self.of]
        return found


@dataclass(frozen=True, slots=True)
class Expectation:
    """Of each channel its expected value, and how far off it usually is: all (channels,), NaN where it is not judged.

    `usual` is the deviation of a smoothed value, `largest` what it hardly ever exceeded, `rough` that of its roughness.
    """

    until_ns: int
    usual: Floats
    largest: Floats
    rough: Floats
    _means: Floats
    _slopes: Floats
    _base: Floats
    _groups: _Groups

    def values(self, features: Floats) -> Floats:
        """What is expected (..., channels) with these features (..., features)."""
        found: Floats = self._base + features @ self._slopes
        return found

    def leverages(self, features: Floats) -> Floats:
        """How far out these features are, for each channel: (n, channels), near 0 in the midst of what was learned."""
        groups, away = self._groups, features - self._means
        found = groups.leverages(away)
        if np.isnan(found).any():  # a driver that is unknown: that is no matter to those who do not need it
            unknown = np.isnan(away)
            found = groups.leverages(np.where(unknown, 0.0, away))
            found[unknown @ groups.uses] = np.nan
        return found


def learn(
    rows: Floats, largest: Floats, drivers: Drivers, settings: LearningSettings, *, until_ns: int, with_hours: bool
) -> Expectation:
    """From rows (n, features and channels and their roughness) and sizes (n, channels), NaN where there is none.

    At least ROWS_MIN rows in which all features are known; fewer expect nothing. `with_hours` once a day was seen:
    before, every hour is a new one.
    """
    rows = rows[np.isfinite(rows[:, : drivers.count]).all(axis=1)]
    features, rest = rows[:, : drivers.count], rows[:, drivers.count :]
    channels = rest.shape[1] // 2
    lesson = _Lesson(features, rest[:, :channels], drivers, settings, with_hours)
    slopes = np.zeros((drivers.count, channels))
    usual, base = np.full(channels, np.nan), np.zeros(channels)
    chosen: dict[tuple[int, ...], list[int]] = {}
    for channel in range(channels):
        best = lesson.best(channel)
        if best is None:
            continue
        slopes[:, channel], base[channel], usual[channel] = best.slopes, best.base, best.usual
        chosen.setdefault(best.drivers, []).append(channel)
    return Expectation(
        until_ns,
        usual,
        _quantile(largest[len(largest) // _BEGINNER :], 0.985, LARGEST_ROWS_MIN, 0.0),
        _quantile(rest[:, channels:], 0.975, ROUGH_ROWS_MIN, np.nan) + settings.rough_floor * lesson.extent,
        lesson.means,
        slopes,
        base,
        lesson.groups(chosen),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    drivers: tuple[int, ...]
    slopes: Floats
    base: float
    usual: float
    left: float


class _Lesson:
    """One learning: the rows, normalised, and the regressions tried."""

    def __init__(
        self, features: Floats, values: Floats, drivers: Drivers, settings: LearningSettings, with_hours: bool
    ) -> None:
        self.means = features.mean(axis=0) if len(features) else np.zeros(drivers.count)
        scales = features.std(axis=0) if len(features) else np.zeros(drivers.count)
        moves = scales > 1e-9 * np.maximum(np.abs(self.means), 1e-12)
        self.inverse_scales = np.where(moves, 1.0 / np.where(moves, scales, 1.0), 0.0)
        self._normal = (features - self.means) * self.inverse_scales
        self._features = features
        self._values = values
        self._drivers = drivers
        self._settings = settings
        self._with_hours = with_hours
        self._ridge = np.full(drivers.count, settings.ridge)
        self._ridge[-HOURS:] = settings.hour_ridge
        self._inverses: dict[tuple[tuple[int, ...], bytes], tuple[Ints, Floats, Floats, Floats, Floats]] = {}
        with np.errstate(invalid="ignore"):
            middle, extent = _quantile(values, 0.5), _quantile(values, 0.99) - _quantile(values, 0.01)
        self.extent = extent
        self._floor = np.maximum(settings.floor * np.abs(middle), settings.extent_floor * extent)

    def best(self, channel: int) -> _Fit | None:
        """The regression to go by; None where nothing is expected: too few rows, or an effort that nothing explains."""
        known = np.isfinite(self._values[:, channel])
        if np.count_nonzero(known) < ROWS_MIN or not self.extent[channel] > 0.0:
            return None
        best: _Fit | None = None
        for drivers in self._drivers.choices(channel):
            fit = self._fit(channel, drivers, known)
            if best is None or fit.left < best.left * (self._settings.better if best.drivers else 1.0):
                best = fit
        is_work = channel in self._drivers.channels and not self._drivers.is_mutual
        return None if best is not None and is_work and not best.drivers else best

    def groups(self, chosen: Mapping[tuple[int, ...], Sequence[int]]) -> _Groups:
        """What the leverages are computed with; `chosen` are the channels that each set of drivers explains."""
        parts: list[Floats] = []
        of = np.full(len(self.extent), -1)
        uses = np.zeros((len(self.means), len(of)), np.bool_)
        for drivers, channels in chosen.items():
            columns, inverse, *_ = self._inverse(drivers, np.ones(len(self._normal), np.bool_))
            if len(columns):
                part = np.zeros((len(self.means), len(columns)))
                part[columns] = np.linalg.cholesky(inverse) / np.sqrt(len(self._normal))
                of[channels] = len(parts)
                uses[np.ix_(columns, np.array(channels))] = True
                parts.append(part * self.inverse_scales[:, None])
        parts.append(np.zeros((len(self.means), 1)))
        ends = np.cumsum([part.shape[1] for part in parts])
        return _Groups(np.concatenate(parts, axis=1), np.append(0, ends[:-1]), of, uses)

    def _fit(self, channel: int, drivers: tuple[int, ...], known: NDArray[np.bool_]) -> _Fit:
        columns, inverse, normal, leverages, middles = self._inverse(drivers, known)
        values = self._values[known, channel]
        mean = float(values.mean())
        found = inverse @ (normal.T @ (values - mean) / len(values))
        off = np.abs(values - mean - normal @ found)
        slopes = np.zeros(len(self.means))
        slopes[columns] = found * self.inverse_scales[columns]
        usual = float(np.quantile(off, 0.975, method="higher")) * (1.0 + 2.0 * _FEW / len(values))
        left = float(np.median(off / (1.0 - np.minimum(_ALIKE * leverages, 0.9))))
        base = mean - float(middles @ slopes)
        return _Fit(drivers, slopes, base, usual + float(self._floor[channel]), left)

    def _inverse(
        self, drivers: tuple[int, ...], known: NDArray[np.bool_]
    ) -> tuple[Ints, Floats, Floats, Floats, Floats]:
        """Of the rows known: columns, inverse of the regularised covariance, normalised features, leverages, means."""
        key = drivers, known.tobytes()
        if key not in self._inverses:
            columns = self._drivers.columns(drivers, with_hours=self._with_hours)
            normal = self._normal[np.ix_(known, columns)]
            normal = normal - normal.mean(axis=0)
            covariance = normal.T @ normal / len(normal) + np.diag(self._ridge[columns])
            inverse = np.linalg.inv(covariance)
            leverages = np.einsum("ij,jk,ik->i", normal, inverse, normal, optimize=True) / len(normal)
            self._inverses[key] = columns, inverse, normal, leverages, self._features[known].mean(axis=0)
        return self._inverses[key]


def _quantile(rows: Floats, share: float, count_min: int = 1, otherwise: float = np.nan) -> Floats:
    """Of each column the next value up; `otherwise` for columns with fewer than `count_min` values."""
    ordered = np.sort(rows, axis=0)  # NaN goes last
    counts = np.count_nonzero(np.isfinite(rows), axis=0)
    places = np.clip(np.ceil((counts - 1) * share).astype(np.int64), 0, max(len(rows) - 1, 0))
    if not len(rows):
        return np.full(rows.shape[1], otherwise)
    found: Floats = np.where(counts >= count_min, ordered[places, np.arange(rows.shape[1])], otherwise)
    return found
