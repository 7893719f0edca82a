"""Tags of one device against what they usually are at this duty: at this load, speed or current. Pure.

A machine at another load is not a sick machine. So each channel is compared with what it was when an effort of the
device (load, speed, current, power, torque) was as it is now: a control chart for each operating point. What was never
run is not judged, nor is a channel that never moved; what moves in coarse steps may be a step off. Temperatures follow
late, so each effort is also there as a slow mean of itself, and a channel goes by what explains it best. Beside its
level each channel's roughness is judged, from reading to reading: noise shows there.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Duty", "DutySettings"]

Floats = NDArray[np.float64]

_S: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _S
_VERSION: Final = 1
_VALUE_MAX: Final = 1e150
"""Beyond this, squares overflow: such values are not there."""
_LESSON_ROWS_MAX: Final = 1_000
_SUPPORT_ROWS: Final = 8
"""Remembered rows at an operating point and beside it from which on it is known."""


@dataclass(frozen=True, slots=True)
class DutySettings:
    """`efforts`: names of channels that show the duty; `late_s`: time constant of their slow means.

    The last `untrusted_share` of what was seen, a day at most, is no part of what is usual yet: a fault that grows
    slowly must not teach its own normal. `bar`: so many times the usual deviation (its 97.5 % quantile) is score 1.0;
    `floor`, a share of the value and of its range, is added to that deviation. `memory_rows` rows are spread evenly
    over all that was seen, at most one in `stride_max`; then the oldest goes.
    """

    efforts: tuple[str, ...] = ("*load*", "*speed*", "*rpm*", "*current*", "*power*", "*torque*")
    warmup_rows: int = 60
    memory_rows: int = 512
    stride_max: int = 256
    points: int = 8
    smoothing: float = 0.1
    untrusted_share: float = 0.25
    bar: float = 2.5
    floor: float = 0.01
    late_s: float = 900.0
    gap_s: float = 300.0


class Duty:
    """Watches the rows of one device. Scores depend on the past alone, whatever the batches; 1.0 is worth an alert.

    After Shewhart's charts for each operating point (regimes), with quantiles in place of standard deviations.
    """

    def __init__(self, channels: Sequence[str], settings: DutySettings | None = None) -> None:
        self.channels = tuple(channels)
        self.settings = settings or DutySettings()
        self._efforts = [
            place
            for place, name in enumerate(self.channels)
            if any(fnmatchcase(name.rpartition("/")[2], pattern) for pattern in self.settings.efforts)
        ]
        count = len(self.channels)
        self._smooth = np.full(2 * count, np.nan)
        self._slow = np.full(len(self._efforts), np.nan)
        self._last = np.full(count, np.nan)
        self._step = np.full(count, np.nan)
        self._finest = np.full(count, np.inf)
        self._last_ns = 0
        self._began_ns = 0
        self._seen = 0
        self._followed = 0
        self._due = self.settings.warmup_rows
        self._stride = 1
        self._times: list[int] = []
        self._memory: list[Floats] = []
        self._usual: _Usual | None = None
        self._ratios: Floats = np.zeros(count)

    @property
    def learning(self) -> bool:
        """Whether nothing is usual yet."""
        return self._usual is None

    def update(self, times: ArrayLike, values: ArrayLike) -> Floats:
        """Judge rows: `times` (n,) in ns, `values` (n, channels), NaN for what is not there; the scores (n,)."""
        at = np.asarray(times, np.int64)
        rows = np.asarray(values, np.float64)
        rows = np.where(np.abs(rows) < _VALUE_MAX, rows, np.nan)
        scores = np.full(len(at), np.nan)
        waiting: list[tuple[int, Floats, Floats]] = []
        for place, now_ns in enumerate(at.tolist()):
            passed_ns = now_ns - self._last_ns
            if not self._in_order(now_ns):
                continue
            self._follow(rows[place], passed_ns)
            self._followed += 1
            if self._followed * self.settings.smoothing < 1.0:
                continue  # a mean of a few rows is noise
            waiting.append((place, np.concatenate([self._smooth, self._slow]), self._finest))
            if self._remember(now_ns):
                self._judge(waiting, scores)
                waiting.clear()
                self._learn_until(now_ns)
        self._judge(waiting, scores)
        return scores

    def contributions(self) -> list[tuple[str, float]]:
        """Each channel's share of the last score, the largest first; empty while there is none."""
        squares = np.nan_to_num(self._ratios) ** 2
        total = float(squares.sum())
        shares = zip(self.channels, (squares / total).tolist(), strict=True) if total else ()
        return sorted(shares, key=lambda share: -share[1])

    def expected(self) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel at this duty; NaN where that is not known."""
        count = len(self.channels)
        if self._usual is None:
            return np.full(count, np.nan), np.full(count, np.nan)
        middle, half = (
            found[0, :count] for found in self._usual.at(np.concatenate([self._smooth, self._slow])[None, :])
        )
        width = self.settings.bar * (half + self._finest)
        return middle - width, middle + width

    def snapshot(self) -> dict[str, Any]:
        """All it remembers as plain data."""
        return {
            "version": _VERSION,
            "counts": [self._last_ns, self._began_ns, self._seen, self._due, self._stride, self._followed],
            "state": _packed(np.concatenate([self._smooth, self._last, self._step, self._finest, self._slow])),
            "times": list(self._times),
            "memory": _packed(np.array(self._memory)),
            "learned_ns": None if self._usual is None else self._usual.until_ns,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken, with the same channels; ValueError where it is none of ours."""
        count = len(self.channels)
        try:
            if snapshot["version"] != _VERSION:
                raise ValueError(f"version {snapshot['version']!r}, {_VERSION} is known")
            counts = [int(each) for each in snapshot["counts"]]
            state = np.split(_unpacked(snapshot["state"]), [2 * count, 3 * count, 4 * count, 5 * count])
            if len(state[-1]) != len(self._efforts):
                raise ValueError("it is of other channels")
            times = [int(each) for each in snapshot["times"]]
            memory = list(_unpacked(snapshot["memory"]).reshape(len(times), 2 * count + len(self._efforts)))
            learned_ns = None if snapshot["learned_ns"] is None else int(snapshot["learned_ns"])
            self._last_ns, self._began_ns, self._seen, self._due, self._stride, self._followed = counts
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no snapshot of a duty detector: {error!r}; begin without it") from error
        self._smooth, self._last, self._step, self._finest, self._slow = state
        self._times, self._memory = times, memory
        self._usual = None if learned_ns is None else self._learn(learned_ns)

    def _in_order(self, now_ns: int) -> bool:
        """Whether a row is newer than all before; after a gap or a clock set back all is followed from there."""
        passed_ns = now_ns - self._last_ns
        if self._began_ns and -60 * _S <= passed_ns <= 0:
            return False
        if passed_ns > self.settings.gap_s * _S or passed_ns < 0:
            self._smooth = np.full_like(self._smooth, np.nan)
            self._slow = np.full_like(self._slow, np.nan)
            self._followed = 0
            self._last, self._step = np.full_like(self._last, np.nan), np.full_like(self._step, np.nan)
        self._last_ns = now_ns
        self._began_ns = self._began_ns or now_ns
        return True

    def _follow(self, row: Floats, passed_ns: int) -> None:
        """Take one row.

        A step in load makes one large difference, and what follows it late makes many in one direction. Noise goes to
        and fro: only there the smaller of two differences counts.
        """
        step = row - self._last
        size = np.abs(step)
        self._finest = np.fmin(self._finest, np.where(size > 0.0, size, np.inf))
        turns = np.where(step * self._step < 0.0, np.minimum(size, np.abs(self._step)), 0.0)
        both = np.concatenate([row, np.where(np.isnan(step * self._step), np.nan, turns)])
        moved = self._smooth + self.settings.smoothing * (both - self._smooth)
        known = np.where(np.isnan(self._smooth), both, moved)
        self._smooth = np.where(np.isnan(both), self._smooth, known)
        effort, rate = row[self._efforts], -math.expm1(-max(passed_ns, 0) / (self.settings.late_s * _S))
        moved = np.where(np.isnan(self._slow), effort, self._slow + rate * (effort - self._slow))
        self._slow = np.where(np.isnan(effort), self._slow, moved)
        self._step, self._last = step, np.where(np.isnan(row), self._last, row)

    def _judge(self, waiting: Sequence[tuple[int, Floats, Floats]], scores: Floats) -> None:
        """Put the scores of the rows that wait, as (place, smooth, finest), into their places."""
        if self._usual is None or not waiting:
            return
        places, smooth, finest = zip(*waiting, strict=True)
        rows = np.array(smooth)
        middle, half = self._usual.at(rows)
        ratios = (rows[:, : middle.shape[1]] - middle) / (self.settings.bar * (half + np.tile(np.array(finest), 2)))
        count = len(self.channels)
        found = np.nan_to_num(np.fmax(np.abs(ratios[:, :count]), ratios[:, count:]), nan=-1.0)
        self._ratios = np.maximum(found[-1], 0.0)
        highest = found.max(axis=1)
        scores[list(places)] = np.where(highest < 0.0, np.nan, highest)

    def _remember(self, now_ns: int) -> bool:
        """Keep the row, if it is its turn; whether a lesson is due."""
        settings = self.settings
        if self._seen % self._stride == 0:
            self._times.append(now_ns)
            self._memory.append(np.concatenate([self._smooth, self._slow]))
            if len(self._memory) > settings.memory_rows:
                if self._stride < settings.stride_max:
                    self._stride *= 2
                    self._times, self._memory = self._times[::2], self._memory[::2]
                else:
                    del self._times[0], self._memory[0]
        self._seen += 1
        return self._seen >= self._due

    def _learn_until(self, now_ns: int) -> None:
        settings = self.settings
        self._due = self._seen + min(max(self._seen // 8, settings.warmup_rows // 2), _LESSON_ROWS_MAX)
        untrusted_ns = min(settings.untrusted_share * max(now_ns - self._began_ns, 0), _DAY_NS)
        self._usual = self._learn(now_ns - round(untrusted_ns))

    def _learn(self, until_ns: int) -> "_Usual | None":
        trusted = [row for at_ns, row in zip(self._times, self._memory, strict=True) if at_ns <= until_ns]
        if len(trusted) < _SUPPORT_ROWS:
            return self._usual
        return _usual(np.array(trusted), self._efforts, self.settings, until_ns)


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual at each operating point: of each column the effort it goes by, and its points' middles and halves.

    `efforts` (columns,), -1 for none; `lows` and `widths` (columns,) of the points; `middles`, `halves` (columns,
    points), NaN where the point is not known.
    """

    until_ns: int
    efforts: NDArray[np.int64]
    lows: Floats
    widths: Floats
    middles: Floats
    halves: Floats

    def at(self, rows: Floats) -> tuple[Floats, Floats]:
        """The middles and half widths (n, columns) at the efforts of `rows` (n, columns and slow efforts)."""
        effort = np.where(self.efforts < 0, 0.0, rows[:, self.efforts])
        place = np.floor(np.nan_to_num((effort - self.lows) / self.widths, nan=-1.0))
        inside = (place >= 0) & (place < self.middles.shape[1])
        point = np.where(inside, place, 0.0).astype(np.int64)
        column = np.arange(len(self.efforts))
        return self.middles[column, point], np.where(inside, self.halves[column, point], np.nan)


def _usual(rows: Floats, efforts: Sequence[int], settings: DutySettings, until_ns: int) -> _Usual:
    columns, points = rows.shape[1] - len(efforts), settings.points
    judged = rows[:, :columns]
    best = np.full(columns, np.inf)
    chosen = np.full(columns, -1)
    lows, widths = np.zeros(columns), np.full(columns, 1.0)
    middles, halves = np.full((columns, points), np.nan), np.full((columns, points), np.nan)
    slow = range(columns, rows.shape[1])
    own = {-1: -1} | dict(zip(efforts, efforts, strict=True)) | dict(zip(slow, efforts, strict=True))
    for effort, channel in own.items():
        drive = np.zeros(len(rows)) if effort < 0 else rows[:, effort]
        if not np.isfinite(drive).any():
            continue
        low, high = float(np.nanmin(drive)), float(np.nanmax(drive))
        width = max((high - low) / (points - 1), 1e-9 * max(abs(high), 1.0))
        low -= width / 2.0
        with np.errstate(invalid="ignore"):
            place = np.where(np.isfinite(drive), np.floor((drive - low) / width), -1).astype(np.int64)
        found_middles, found_halves, left = _chart(judged, place, settings)
        better = left < best * 0.9
        if effort >= 0:
            better[[channel, channel + columns // 2]] = False
        elif efforts:  # an effort by itself is work; it takes another one to tell that it is wrong
            found_halves[list(efforts)] = np.nan
        best[better], chosen[better], lows[better], widths[better] = left[better], effort, low, width
        middles[better], halves[better] = found_middles[better], found_halves[better]
    return _Usual(until_ns, chosen, lows, widths, middles, halves)


def _chart(rows: Floats, place: NDArray[np.int64], settings: DutySettings) -> tuple[Floats, Floats, Floats]:
    """Middles and half widths (columns, points) where rows are at the points `place`; the mean deviation left over."""
    columns, points = rows.shape[1], settings.points
    middles, halves = np.full((points, columns), np.nan), np.full((points, columns), np.nan)
    apart = np.full(rows.shape, np.nan)
    for point in np.unique(place[place >= 0]).tolist():
        own = place == point
        middles[point] = _quantile(rows[own], 0.5)
        apart[own] = np.abs(rows[own] - middles[point])
    extent = _quantile(rows, 0.99) - _quantile(rows, 0.01)
    for point in np.unique(place[place >= 0]).tolist():
        near = np.abs(place - point) <= 1
        count = np.count_nonzero(near & (place >= 0))
        if count >= _SUPPORT_ROWS:
            least = settings.floor * np.maximum(np.abs(middles[point]), 2.0 * extent)
            few = 1.0 + 2.0 / (
                settings.smoothing * count
            )  # smoothed rows are alike: few of them show little of what comes
            halves[point] = few * _quantile(apart[near], 0.975) + least + 1e-12
    counts = np.count_nonzero(np.isfinite(apart), axis=0)
    left = np.where(counts > 0, np.nansum(apart, axis=0) / np.maximum(counts, 1), np.inf)
    return middles.T, halves.T, left


def _quantile(rows: Floats, share: float) -> Floats:
    """Of each column, by nearest rank of what is there; NaN for a column without anything."""
    ordered = np.sort(rows, axis=0)  # NaN goes last
    counts = np.count_nonzero(np.isfinite(rows), axis=0)
    places = np.clip(np.ceil(counts * share).astype(np.int64) - 1, 0, len(rows) - 1)
    found: Floats = np.where(counts > 0, ordered[places, np.arange(rows.shape[1])], np.nan)
    return found


def _packed(values: Floats) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode()


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f8").copy()
