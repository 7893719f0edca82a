"""The per-tag detector: how many times the largest surprises of the last weeks is this one?"""

import math
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any, NamedTuple

from fieldline.detectors.level import Level
from fieldline.detectors.records import Records
from fieldline.detectors.season import Season
from fieldline.detectors.tuning import DEFAULT, HOUR_NS, Tuning

__all__ = ["RESOLUTION", "RESOLUTION_MIN", "VALUE_MAX", "VERSION", "Surprise", "Surprises"]

VALUE_MAX = 1e150  # no sensor reads more; below it no square or sum here overflows
RESOLUTION = 1e-9  # of a value: what is smaller is rounding
RESOLUTION_MIN = 1e-150  # where the value is 0; nothing here divided by it overflows
_NAN = math.nan
VERSION = 1
_KINDS = (
    "deviation from what is usual at this hour",
    "lasting deviation from what is usual at this hour",
    "deviation from its level",
    "lasting deviation from its level",
)


class Surprises(NamedTuple):
    """The four ratios behind a score; 1 says: a deviation as large as the largest remembered."""

    season_fast: float
    season_slow: float
    level_fast: float
    level_slow: float


class Surprise:
    """Scores one tag's readings as they come, in fixed memory, from the first hour on.

    Two baselines (`Season`, `Level`) say what to expect; the deviation from each, smoothed twice, is held against the
    largest of the last weeks (`Records`). The score is the power mean of the four ratios, of order 4: 1.0 where all
    four are as large as the records, or one alone is 1.41 times as large. From 1.0 on it is worth an alert. Scores
    depend on the past alone, never on the batch that a reading came in.

    A value that is NaN, infinite or beyond VALUE_MAX has the score NaN and teaches nothing; so have the first readings
    (`learning`). Times need not ascend: a late or repeated reading is scored as any, and weighs little in the season.
    """

    __slots__ = (
        "_age_every",
        "_began_ns",
        "_level",
        "_now_ns",
        "_ratios",
        "_records",
        "_season",
        "_seen",
        "_since_ns",
        "_tuning",
        "_turned",
        "_warm_up",
    )

    def __init__(self, tuning: Tuning = DEFAULT) -> None:
        self._tuning = tuning
        self._age_every, self._warm_up = tuning.readings_a_rank, tuning.warm_up
        self._season = Season(tuning.season_hours)
        self._level = Level(tuning.level_rate)
        rates = (tuning.fast_rate, tuning.slow_rate) * 2
        self._records = tuple(Records(rate, tuning.record_rank) for rate in rates)  # in the order of Surprises
        self._ratios = (_NAN, _NAN, _NAN, _NAN)
        self._seen = 0  # readings that taught something
        self._turned = 0  # of them, those before this generation
        self._now_ns = 0  # of the last reading
        self._began_ns = self._since_ns = 0  # where this generation begins, and the one before it

    def update(self, times: Iterable[int], values: Iterable[float]) -> list[float]:
        """The score of each reading, in order; `step` for many."""
        return [self.step(at_ns, value) for at_ns, value in zip(times, values, strict=True)]

    def step(self, at_ns: int, value: float) -> float:
        """The score of one reading, NaN where it has none; then learn it."""
        if not -VALUE_MAX < value < VALUE_MAX:
            return _NAN
        self._now_ns = at_ns
        seen = self._seen
        if seen % self._age_every == 0:
            self._age(at_ns)
        self._seen = seen + 1
        by_level = self._level.deviation(value)
        by_season = self._season.deviation(at_ns, value, by_level)
        resolution = RESOLUTION * abs(value) + RESOLUTION_MIN
        season_fast, season_slow, level_fast, level_slow = self._records
        a = season_fast.ratio(by_season, resolution)
        b = season_slow.ratio(by_season, resolution)
        c = level_fast.ratio(by_level, resolution)
        d = level_slow.ratio(by_level, resolution)
        self._ratios = (a, b, c, d)
        if seen < self._warm_up:
            return _NAN
        a, b, c, d = a * a, b * b, c * c, d * d
        return sqrt(sqrt((a * a + b * b + c * c + d * d) / 4.0))

    def _age(self, at_ns: int) -> None:
        """Every `readings_a_rank` readings: records deepen, and a generation that has lasted long enough ends."""
        if not self._seen:
            self._began_ns = self._since_ns = at_ns
            return
        self._began_ns = min(self._began_ns, at_ns)  # after a clock that was set back, a generation is not endless
        for records in self._records:
            records.deepen()
        long_enough = self._seen - self._turned >= self._tuning.generation
        if long_enough and at_ns - self._began_ns >= self._tuning.generation_ns:
            for records in self._records:
                records.turn()
            self._turned, self._since_ns, self._began_ns = self._seen, self._began_ns, at_ns

    @property
    def learning(self) -> bool:
        """Whether the next reading has no score yet."""
        return self._seen < self._warm_up

    @property
    def surprises(self) -> Surprises:
        """What the last score was made of; NaN before the first reading."""
        return Surprises(*self._ratios)

    def expected(self) -> tuple[float, float]:
        """Low and high of the next value, in the tag's unit: beyond, its fast deviation would exceed the records alone.

        The hour is that of the last reading. NaN and NaN while learning.
        """
        if self.learning:
            return _NAN, _NAN
        low, high = self._records[0].reach()
        baselines = self._season.baselines()
        low, high = min(baselines) + low, max(baselines) + high
        lower, upper = (self._level.mean + end for end in self._records[2].reach())
        if max(low, lower) <= min(high, upper):
            return max(low, lower), min(high, upper)
        return low, high  # the tag has left its level; what is usual at this hour still says something

    def reason(self) -> str:
        """The last score in words, by its largest part."""
        if self.learning:
            return "still learning"
        largest = max(self._ratios)
        kind = _KINDS[self._ratios.index(largest)]
        return f"{kind}, {largest:.1f} times the largest of the last {_span(self._now_ns - self._since_ns)}"

    def snapshot(self) -> dict[str, Any]:
        """All of the state, as JSON can hold it. The tuning is not in it."""
        return {
            "version": VERSION,
            "seen": self._seen,
            "turned": self._turned,
            "now_ns": self._now_ns,
            "began_ns": self._began_ns,
            "since_ns": self._since_ns,
            "ratios": [None if math.isnan(ratio) else ratio for ratio in self._ratios],
            "season": self._season.snapshot(),
            "level": self._level.snapshot(),
            "records": [records.snapshot() for records in self._records],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken. ValueError if damaged or of another version; nothing changes then."""
        if (version := snapshot.get("version")) != VERSION:
            raise ValueError(
                f"a snapshot of version {version} cannot be restored, "
                f"only one of version {VERSION}: let the tag learn again"
            )
        other = Surprise(self._tuning)
        try:
            other._take(snapshot)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the snapshot is damaged ({error!r}): let the tag learn again") from error
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def _take(self, snapshot: Mapping[str, Any]) -> None:
        self._seen, self._turned = int(snapshot["seen"]), int(snapshot["turned"])
        self._now_ns, self._began_ns = int(snapshot["now_ns"]), int(snapshot["began_ns"])
        self._since_ns = int(snapshot["since_ns"])
        a, b, c, d = (_NAN if ratio is None else float(ratio) for ratio in snapshot["ratios"])
        self._ratios = (a, b, c, d)
        self._season.restore(snapshot["season"])
        self._level.restore(snapshot["level"])
        for records, kept in zip(self._records, snapshot["records"], strict=True):
            records.restore(kept)


def _span(span_ns: int) -> str:
    """How long that is, in the unit that a person would choose."""
    hours = span_ns / HOUR_NS
    if hours >= 48:
        return f"{round(hours / 24)} days"
    if hours >= 2:
        return f"{round(hours)} hours"
    return f"{max(2, round(hours * 60))} minutes"
