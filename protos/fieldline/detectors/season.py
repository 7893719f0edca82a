"""What a tag usually reads at this hour: of any day, and of this day of the week."""

from collections.abc import Mapping
from typing import Any

from fieldline.detectors.snapshots import finites
from fieldline.detectors.tuning import HOUR_NS

__all__ = ["DAY", "SLOTS", "WEEK", "Season"]

DAY, WEEK = 24, 168
SLOTS = DAY + WEEK  # first the hours of a day, then those of a week


class Season:
    """Means by hour of the day and by hour of the week, moved by how long each reading stood.

    A reading that stood for dt hours (one at most) moves the means of its hour by dt / `hours`. So the baselines
    remember as many days, and as many weeks, whether the tag is read every second or every hour. The deviation is the
    smaller one of the two: a quiet Sunday is no surprise where Sundays are quiet, and an ordinary Tuesday is none after
    a holiday on the last one. Hours are in UTC. Exponential smoothing by season goes back to Winters (Management
    Science 6, 1960).
    """

    __slots__ = ("_at_ns", "_counts", "_day", "_from_ns", "_means", "_memory_ns", "_to_ns", "_week")

    def __init__(self, hours: float) -> None:
        self._memory_ns = hours * HOUR_NS
        self._means = [0.0] * SLOTS
        self._counts = [0] * SLOTS
        self._at_ns = 0
        self._from_ns = self._to_ns = 0  # the hour that the two slots stand for
        self._day, self._week = 0, DAY

    def deviation(self, at_ns: int, value: float, otherwise: float) -> float:
        """`value` less the nearer baseline; then learn it. `otherwise` is the answer for an hour not seen yet."""
        if not self._from_ns <= at_ns < self._to_ns:
            self._enter(at_ns)
        means, counts, day, week = self._means, self._counts, self._day, self._week
        stood_ns = at_ns - self._at_ns
        self._at_ns = at_ns
        if stood_ns > HOUR_NS:
            stood_ns = HOUR_NS
        # A reading from before the last one teaches no more than one of the same time.
        rate = stood_ns / self._memory_ns if stood_ns > 0 else 0.0
        by_day = value - means[day]
        seen = counts[day]
        deviation = by_day if seen else otherwise
        counts[day] = seen = seen + 1
        means[day] += by_day * (rate if rate * seen > 1.0 else 1.0 / seen)
        by_week = value - means[week]
        seen = counts[week]
        if seen and abs(by_week) < abs(deviation):
            deviation = by_week
        counts[week] = seen = seen + 1
        means[week] += by_week * (rate if rate * seen > 1.0 else 1.0 / seen)
        return deviation

    def _enter(self, at_ns: int) -> None:
        hour = at_ns // HOUR_NS
        self._from_ns = hour * HOUR_NS
        self._to_ns = self._from_ns + HOUR_NS
        self._day, self._week = hour % DAY, DAY + hour % WEEK

    def baselines(self) -> list[float]:
        """Those of the last reading's hour: none, one or two."""
        return [self._means[slot] for slot in (self._day, self._week) if self._counts[slot]]

    def snapshot(self) -> dict[str, Any]:
        """The state, as JSON can hold it."""
        return {"at_ns": self._at_ns, "means": list(self._means), "counts": list(self._counts)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken."""
        self._at_ns = int(snapshot["at_ns"])
        self._means = finites(snapshot["means"], count=SLOTS)
        self._counts = [int(count) for count in finites(snapshot["counts"], count=SLOTS)]
        self._enter(self._at_ns)
