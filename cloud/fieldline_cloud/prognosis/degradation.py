"""One tag on its way to a failure limit: readings in, remaining life out.

As ISO 13381-1 has it: an indicator of health, a failure limit, a model of the degradation, and an estimate with its
uncertainty. There is none while nothing degrades. A change of level that stays (another load) starts a new baseline;
a return to the level from which the degradation began is a repair, after which everything starts anew.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.prognosis.indicator import Indicator, Point
from fieldline_cloud.prognosis.passage import remaining_h
from fieldline_cloud.prognosis.tags import Prognosis
from fieldline_cloud.prognosis.trend import Step, Trend, find_trend

__all__ = ["Degradation", "Rising"]

Times = NDArray[np.int64]
Values = NDArray[np.float64]

NS_PER_HOUR: Final = 3_600 * 10**9
VALUE_MAX: Final = 1e15
"""A value beyond it, either way, is no measurement."""
RECENT: Final = 3
"""Points that must agree before a repair, or that the limit is passed, is believed."""
REPAIR_SHARE: Final = 0.25
"""Share of the rise that may be left after a repair."""
HEADROOM_SHARE_MIN: Final = 0.1
"""Share of the way from the baseline to the limit that a degradation has gone before it is spoken of."""


@dataclass(frozen=True, slots=True)
class Rising:
    """A degradation that goes on: since when, from which level, the highest it has been, and its trend now."""

    since_ns: int
    level: float
    peak: float
    trend: Trend


class Degradation:
    """The degradation of one tag towards `limit`.

    `falling` says that the value sinks towards the limit (a flow, a pressure). A point of the indicator is the median
    of `bucket_s` seconds; nothing is said before `warmup` points, nor of a life longer than `horizon_h`. Values below
    `idle_below` come from a machine that stands still and count for nothing. At most `points_max` points are kept.
    """

    def __init__(
        self,
        limit: float,
        *,
        falling: bool = False,
        bucket_s: float = 3_600.0,
        warmup: int = 24,
        horizon_h: float = 8_760.0,
        idle_below: float | None = None,
        points_max: int = 180,
    ) -> None:
        self.limit = limit
        self._sign = -1.0 if falling else 1.0
        self._warmup = warmup
        self._horizon_h = horizon_h
        self._idle_below = -math.inf if idle_below is None else idle_below
        self._indicator = Indicator(bucket_ns=round(bucket_s * 1e9), points_max=points_max)
        self._rising: Rising | None = None

    @property
    def learning(self) -> bool:
        """Whether there are too few points yet to say anything."""
        return len(self._indicator.points) < self._warmup

    def update(self, times: Times, values: Values) -> bool:
        """Take readings; returns whether they closed a point of the indicator, so that there may be news.

        `times` are int64 Unix nanoseconds (n,), `values` float64 (n,), NaN where there is no good value. They may come
        in any order; what comes late is counted in its own time. How readings are spread over calls does not matter.
        """
        good = (np.abs(values) <= VALUE_MAX) & (values >= self._idle_below)  # both are False for NaN
        closed = False
        for at_ns, value in zip(times[good].tolist(), values[good].tolist(), strict=True):
            if self._indicator.add(at_ns, value):
                self._review()
                closed = True
        return closed

    def remaining(self, now_ns: int) -> Prognosis | None:
        """The life that remains from `now_ns` on; None while nothing degrades, or not within the horizon.

        Readings from after `now_ns` come from a clock that was wrong, and are forgotten.
        """
        newest_ns = self._indicator.newest_ns
        if newest_ns is not None and newest_ns > now_ns:
            self._indicator.forget_from(now_ns)
            self._rising = None
            self._review()
        if self._rising is None:
            return None
        return self._prognosis(self._rising, now_ns)

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which `restore` makes the same again."""
        rising = self._rising
        return {
            "indicator": self._indicator.snapshot(),
            "rising": rising and [rising.since_ns, rising.level, rising.peak],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> Self:
        """Go on where `snapshot` was taken, towards the limit of today."""
        self._indicator.restore(snapshot["indicator"])
        points = self._indicator.points
        if snapshot["rising"] and points:
            since_ns, level, peak = snapshot["rising"]
            trend = find_trend(*self._arrays(points), believed=True)  # of these points it is the same again
            if isinstance(trend, Trend):
                self._rising = Rising(int(since_ns), float(level), float(peak), trend)
        return self

    def _prognosis(self, rising: Rising, now_ns: int) -> Prognosis | None:
        points = self._indicator.points
        last = points[-1]
        limit = self._sign * self.limit
        hours: tuple[float, float, float] | None
        if all(self._sign * point.value >= limit for point in points[-RECENT:]):
            hours = (0.0, 0.0, 0.0)
        else:
            hours = remaining_h(
                rising.trend,
                limit,
                last_h=0.0,
                now_h=max(now_ns - self._middle_ns(last), 0) / NS_PER_HOUR,
                point_h=self._indicator.bucket_ns / NS_PER_HOUR,
                horizon_h=self._horizon_h,
            )
        if hours is None:
            return None
        return Prognosis(*hours, since_ns=rising.since_ns, trend=self._text(rising, now_ns), at_ns=now_ns)

    def _text(self, rising: Rising, now_ns: int) -> str:
        trend, verb = rising.trend, "rising" if self._sign > 0.0 else "falling"
        per_day = trend.at(0.0) - trend.at(-24.0)
        way = self._sign * self.limit - rising.level
        share = (trend.at(0.0) - rising.level) / way if way > 0.0 else 1.0
        pace = ", ever faster" if trend.accelerating > 0.5 else ""
        days = (now_ns - rising.since_ns) / (24 * NS_PER_HOUR)
        return f"{verb} by {per_day:.3g} a day{pace}, for {days:.1f} days; {share:.0%} of the way to {self.limit:g}"

    def _review(self) -> None:
        """A point was closed: look at all of them again."""
        points = self._indicator.points
        if self._rising is not None and self._is_repaired(self._rising, points):
            self._indicator.forget_before(points[-RECENT].start_ns)
            self._rising = None
            return
        if len(points) < self._warmup:
            return
        found = find_trend(*self._arrays(points), believed=self._rising is not None)
        if isinstance(found, Step):
            self._indicator.forget_before(points[found.first].start_ns)
            found = None
        if found is None:
            self._rising = None
        elif self._rising or self._has_gone_far(found):
            self._rising = self._begun(found, points)

    def _has_gone_far(self, trend: Trend) -> bool:
        way = self._sign * self.limit - trend.level
        return trend.at(0.0) - trend.level >= HEADROOM_SHARE_MIN * way

    def _begun(self, trend: Trend, points: list[Point]) -> Rising:
        peak = max(trend.at(0.0), self._rising.peak if self._rising else -math.inf)
        since_ns = self._middle_ns(points[-1]) + round(trend.onset_h * NS_PER_HOUR)
        level = min(trend.level, self._rising.level) if self._rising else trend.level
        return Rising(since_ns, level, peak, trend)

    def _is_repaired(self, rising: Rising, points: list[Point]) -> bool:
        good = rising.level + REPAIR_SHARE * (rising.peak - rising.level)
        return len(points) >= RECENT and all(self._sign * point.value < good for point in points[-RECENT:])

    def _arrays(self, points: list[Point]) -> tuple[Values, Values, Values]:
        last_ns = self._middle_ns(points[-1])
        times_h = np.array([self._middle_ns(point) - last_ns for point in points]) / NS_PER_HOUR
        values = self._sign * np.array([point.value for point in points])
        return times_h, values, np.array([float(point.buckets) for point in points])

    def _middle_ns(self, point: Point) -> int:
        return point.start_ns + point.buckets * self._indicator.bucket_ns // 2
