"""The channels of a device, followed: wandering taken out, spikes cut, noise smoothed. Pure."""

import math
from typing import Any, Final

import numpy as np

from fieldline_cloud.detectors.normal import Floats

__all__ = ["Channels"]

_FORGOTTEN: Final = 3.0
"""A channel missing for this many time constants of its smoothing starts afresh."""
_TAKEN_TOGETHER: Final = 128
"""Rows smoothed by one matrix product."""
_ALONE: Final = 5.0
"""Scales that a value counts for at most when the one before was nearer."""
_STEP_SCALES_MAX: Final = 3.0
"""A level moves by at most its gain times this many scales a row (Huber's psi)."""


class Channels:
    """The state of the channels between rows; each is followed in one way, learned once.

    `gain` is the steady Kalman gain of a local level (Muth 1960; Harvey 1989, chapter 4): 0 for a channel that keeps
    its level, near 1 for one that goes where it likes, as temperatures do. A level is pulled by at most three `scale`,
    so a fault is not followed faster than the channel wandered by itself. Then the distance to the level, in scales,
    is cut at `clip` (sooner where the value stands alone) and smoothed exponentially with weight `smoothing`.
    """

    def __init__(self, gain: Floats, scale: Floats, level: Floats, *, smoothing: float, clip: float) -> None:
        self.gain = gain
        self.scale = scale
        self.level = level.copy()
        self.smooth = np.zeros(len(gain))
        self.before = np.zeros(len(gain))
        self.missing = np.zeros(len(gain), dtype=np.int64)
        self._wandering = np.flatnonzero(gain).tolist()
        self._clip = clip
        self._smoothing = smoothing
        self._forgotten = int(_FORGOTTEN / smoothing)
        age = np.arange(_TAKEN_TOGETHER)[:, None] - np.arange(_TAKEN_TOGETHER)
        keep = 1.0 - smoothing
        self._weights = np.where(age >= 0, smoothing * keep ** np.maximum(age, 0), 0.0)
        self._fading = keep ** np.arange(1, _TAKEN_TOGETHER + 1)

    def follow(self, rows: Floats) -> Floats:
        """The smoothed distances of `rows` (n, channels) to the levels, in scales.

        NaN where a value is not finite; such a value changes nothing.
        """
        found = np.empty_like(rows)
        for start in range(0, len(rows), _TAKEN_TOGETHER):
            part = rows[start : start + _TAKEN_TOGETHER]
            found[start : start + len(part)] = self._together(part)
        return found

    def restart(self) -> None:
        """Time has jumped: the next values start the smoothing, and wandering levels, afresh."""
        self.missing[:] = self._forgotten + 1

    def snapshot(self) -> dict[str, Any]:
        """Plain data for `restored`."""
        state = {
            name: getattr(self, name).tolist() for name in ("gain", "scale", "level", "smooth", "before", "missing")
        }
        return {**state, "smoothing": self._smoothing, "clip": self._clip}

    @classmethod
    def restored(cls, snapshot: dict[str, Any]) -> "Channels":
        """The channels whose `snapshot` this is."""
        gain, scale, level = (np.array(snapshot[name], dtype=np.float64) for name in ("gain", "scale", "level"))
        channels = cls(gain, scale, level, smoothing=float(snapshot["smoothing"]), clip=float(snapshot["clip"]))
        channels.smooth = np.array(snapshot["smooth"], dtype=np.float64)
        channels.before = np.array(snapshot["before"], dtype=np.float64)
        channels.missing = np.array(snapshot["missing"], dtype=np.int64)
        return channels

    def _together(self, rows: Floats) -> Floats:
        if not np.isfinite(rows).all():
            return self._one_by_one(rows)
        if self.missing.any():
            late = self.missing > self._forgotten
            self.smooth[late] = 0.0
            wandering = late & (self.gain > 0.0)
            self.level[wandering] = rows[0, wandering]
            self.missing[:] = 0
        off = (rows - self.level) / self.scale
        for column in self._wandering:
            off[:, column] = self._wander(column, rows[:, column])
        count = len(rows)
        cut = self._cut(off)
        smooth = self._weights[:count, :count] @ cut + self._fading[:count, None] * self.smooth
        self.smooth = smooth[-1].copy()
        return smooth

    def _cut(self, off: Floats) -> Floats:
        """Distances cut at `clip`; at `_ALONE` where the value before was not as far off: one spike is no news."""
        size = np.abs(off)
        most = np.empty_like(size)
        most[0], most[1:] = self.before, size[:-1]
        self.before = size[-1].copy()
        np.maximum(most, min(_ALONE, self._clip), out=most)
        np.minimum(most, self._clip, out=most)
        np.minimum(most, size, out=most)
        return np.copysign(most, off, out=most)

    def _wander(self, column: int, values: Floats) -> list[float]:
        """Distances to a level that follows."""
        level, scale = float(self.level[column]), float(self.scale[column])
        pull, most = float(self.gain[column]) * scale, _STEP_SCALES_MAX
        distances = []
        for value in values.tolist():
            off = (value - level) / scale
            distances.append(off)
            level += pull * (most if off > most else -most if off < -most else off)
        self.level[column] = level
        return distances

    def _one_by_one(self, rows: Floats) -> Floats:
        """The same for rows with holes."""
        return np.array([self._with_holes(column, rows[:, column]) for column in range(rows.shape[1])]).T

    def _with_holes(self, column: int, values: Floats) -> list[float]:
        found = []
        for value in values.tolist():
            if not math.isfinite(value):
                self.missing[column] += 1
                found.append(math.nan)
                continue
            if self.missing[column] > self._forgotten:
                self.smooth[column] = 0.0
                if self.gain[column]:
                    self.level[column] = value
            self.missing[column] = 0
            off = (value - self.level[column]) / self.scale[column]
            pull = min(max(off, -_STEP_SCALES_MAX), _STEP_SCALES_MAX)
            self.level[column] += self.gain[column] * self.scale[column] * pull
            most = min(max(self.before[column], _ALONE), self._clip)
            self.before[column] = abs(off)
            cut = min(max(off, -most), most)
            self.smooth[column] += self._smoothing * (cut - self.smooth[column])
            found.append(float(self.smooth[column]))
        return found
