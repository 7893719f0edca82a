"""NAB's scoring rules: what an alarm is worth, and where a detector stands between silence and perfection.

Written from the papers: Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms: the Numenta Anomaly
Benchmark" (ICMLA 2015), and Ahmad, Lavin, Purdy and Agha, "Unsupervised real-time anomaly detection for streaming data"
(Neurocomputing 262, 2017). Around every labelled anomaly lies a window. The first alarm in it counts, the more the
earlier; every alarm outside costs, less right behind a window than far from one; a window without an alarm costs.
The first part of a series, its probation, does not count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "LOW_FN",
    "LOW_FP",
    "PROFILES",
    "STANDARD",
    "Alarms",
    "Labelled",
    "Profile",
    "alarms",
    "best",
    "gain",
    "score",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PROBATION_SHARE, _PROBATION_MAX = 0.15, 750
_STEEPNESS, _FAR = 5.0, 3.0  # of the sigmoid, and where it ends: in window lengths behind a window


@dataclass(frozen=True, slots=True)
class Profile:
    """What an application cares for: the weights of hits, false alarms and misses."""

    name: str
    hit: float = 1.0
    false_alarm: float = 0.11
    miss: float = 1.0


STANDARD = Profile("standard")
LOW_FP = Profile("low FP", false_alarm=0.22)
LOW_FN = Profile("low FN", miss=2.0)
PROFILES = (STANDARD, LOW_FP, LOW_FN)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series and its windows of rows, first and last inclusive, in order and apart."""

    name: str
    at_ns: Ints
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start that do not count."""
        return min(math.floor(_PROBATION_SHARE * len(self.values)), _PROBATION_MAX)

    @property
    def category(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True, slots=True)
class Alarms:
    """What alarms did: windows found of all, and false ones."""

    found: int
    windows: int
    false: int


def sigmoid(position: float) -> float:
    """What an alarm is worth: 1 long before `position` 0, the end of a window, 0 there, -1 long after it."""
    return -1.0 if position > _FAR else 2.0 / (1.0 + math.exp(_STEEPNESS * position)) - 1.0


def worth(series: Labelled) -> tuple[Floats, Ints]:
    """What an alarm in each row is worth before weights, and the window it lies in, -1 for none; both of shape (n,)."""
    window = np.full(len(series.values), -1)
    value = np.full(len(series.values), -1.0)
    for number, (first, last) in enumerate(series.windows):
        length = last - first + 1
        window[first : last + 1] = number
        for row in range(first, last + 1):
            value[row] = sigmoid(-(last - row + 1) / length) / sigmoid(-1.0)
        end = series.windows[number + 1][0] if number + 1 < len(series.windows) else len(value)
        for row in range(last + 1, end):
            value[row] = sigmoid((row - last) / (length - 1)) if length > 1 else -1.0
    return value, window


def score(corpus: Sequence[Labelled], scores: Sequence[Floats], profile: Profile, threshold: float) -> float:
    """The corpus' result with one threshold for all series: 0 for no alarm at all, 100 for one at each window's start.

    `scores` are one array for each series; NaN is no alarm.
    """
    gained = sum(gain(series, one, profile, threshold) for series, one in zip(corpus, scores, strict=True))
    return 100.0 * gained / _perfect(corpus, profile)


def best(corpus: Sequence[Labelled], scores: Sequence[Floats], profile: Profile) -> tuple[float, float]:
    """The highest result that any one threshold gives, and that threshold: what NAB itself reports.

    It is chosen on the very data it is judged by, so it says how well scores could do, not how well they will do.
    """
    points = _sorted_points(corpus, scores)
    caught: dict[tuple[int, int], float] = {}
    gained, highest, threshold = 0.0, 0.0, math.inf
    for number, (level, value, series, window) in enumerate(points):
        if window < 0:
            gained += value * profile.false_alarm
        else:
            hit = value * profile.hit
            before = caught.get((series, window), -profile.miss)
            caught[series, window] = max(before, hit)
            gained += caught[series, window] - before
        if gained > highest and (number + 1 == len(points) or points[number + 1][0] < level):
            highest, threshold = gained, level
    return 100.0 * highest / _perfect(corpus, profile), threshold


def alarms(corpus: Sequence[Labelled], scores: Sequence[Floats], threshold: float) -> Alarms:
    """How many windows were found and how many alarms were false, probation left out."""
    found = false = 0
    for series, one in zip(corpus, scores, strict=True):
        _, window = worth(series)
        hit = window[_rows(series, one, threshold)]
        found += len(set(hit[hit >= 0].tolist()))
        false += int((hit < 0).sum())
    return Alarms(found, sum(len(series.windows) for series in corpus), false)


def _rows(series: Labelled, scores: Floats, threshold: float) -> Ints:
    if len(scores) != len(series.values):
        raise ValueError(f"{series.name}: {len(scores)} scores for {len(series.values)} readings; each reading has one")
    flagged = np.flatnonzero(np.nan_to_num(scores, nan=-math.inf) >= threshold)
    return flagged[flagged >= series.probation]


def gain(series: Labelled, scores: Floats, profile: Profile, threshold: float) -> float:
    """What the alarms in one series are worth more than silence, in weights of the profile."""
    value, window = worth(series)
    gained, caught = 0.0, dict.fromkeys(range(len(series.windows)), -profile.miss)
    for row in _rows(series, scores, threshold).tolist():
        if window[row] < 0:
            gained += value[row] * profile.false_alarm
        else:
            caught[int(window[row])] = max(caught[int(window[row])], value[row] * profile.hit)
    return gained + sum(caught.values()) + profile.miss * len(series.windows)


def _perfect(corpus: Sequence[Labelled], profile: Profile) -> float:
    """What a perfect detector gains over silence."""
    windows = sum(len(series.windows) for series in corpus)
    if not windows:
        raise ValueError("none of these series has a window, so no result can be put between 0 and 100")
    return windows * (profile.hit + profile.miss)


def _sorted_points(corpus: Sequence[Labelled], scores: Sequence[Floats]) -> list[tuple[float, float, int, int]]:
    """(score, worth, series, window) of every row that may alarm, highest score first."""
    points: list[tuple[float, float, int, int]] = []
    for number, (series, one) in enumerate(zip(corpus, scores, strict=True)):
        value, window = worth(series)
        rows = _rows(series, one, math.ulp(0.0))  # 0 is no alarm at any threshold
        points += zip(
            one[rows].tolist(), value[rows].tolist(), [number] * len(rows), window[rows].tolist(), strict=True
        )
    return sorted(points, key=lambda point: -point[0])
