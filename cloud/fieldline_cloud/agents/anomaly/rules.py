"""What can be wrong with one tag: its level, its rate of change, its silence. Pure.

Each rule exists twice: as a frozen description shared by all tags it fits (`Range`, `Rate`, `Stale`), and as
the watch over one tag (`RangeWatch`, `RateWatch`, `StaleWatch`) that remembers. Level and rate are judged in
the time of the readings; silence is judged by arrival, in the agent's own time.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.state import Alarm, Change, Phase

__all__ = [
    "Level",
    "Range",
    "RangeWatch",
    "Rate",
    "RateWatch",
    "Stale",
    "StaleWatch",
    "Transition",
    "slope_per_s",
]

POINTS_MAX: Final = 4_096
"""Points a rate window holds; past that the oldest go and the window is shorter than asked for."""
POINTS_MIN: Final = 3
"""Points a rate is judged by at least: two would make every jitter of the clock a rate."""
POINTS_SAVED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm was raised or cleared. `value` and `limit` are what decided; `text` says it to a person."""

    rule: str
    change: Change
    at_ns: int
    raised_at_ns: int
    value: float | None
    limit: float
    severity: Severity
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class Level:
    """One limit of a range. `name` is lo_lo, lo, hi or hi_hi; the alert's rule is `range_<name>`."""

    name: str
    limit: float
    above: bool
    severity: Severity

    @property
    def rule(self) -> str:
        """The name the alert carries."""
        return f"range_{self.name}"


@dataclass(frozen=True, slots=True)
class Range:
    """Limits on the value. Every level is an alarm of its own: hi_hi comes on top of hi, not in its place."""

    levels: tuple[Level, ...]
    deadband: float
    on_delay_ns: int
    off_delay_ns: int
    cause: str
    unit: str


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on the slope of a straight line through the window (least squares), in units per second."""

    per_s: float
    window_ns: int
    direction: Literal["either", "rising", "falling"]
    deadband_per_s: float
    on_delay_ns: int
    off_delay_ns: int
    severity: Severity
    cause: str
    unit: str


@dataclass(frozen=True, slots=True)
class Stale:
    """A limit on how long no good value may arrive."""

    after_ns: int
    severity: Severity
    cause: str


class RangeWatch:
    """The limits of one tag. `update` costs two comparisons while the value is well and no alarm is on."""

    __slots__ = ("_alarms", "_busy", "_high", "_low", "spec")

    def __init__(self, spec: Range) -> None:
        self.spec = spec
        self._alarms = [
            (level, Alarm(on_delay_ns=spec.on_delay_ns, off_delay_ns=spec.off_delay_ns)) for level in spec.levels
        ]
        self._low = max((level.limit for level in spec.levels if not level.above), default=-math.inf)
        self._high = min((level.limit for level in spec.levels if level.above), default=math.inf)
        self._busy = False

    def update(self, at_ns: int, value: float) -> list[Transition] | None:
        """Judge a finite value; None where nothing happened and nothing is pending: nearly always."""
        if self._low <= value <= self._high and not self._busy:
            return None
        found = []
        deadband = self.spec.deadband
        for level, alarm in self._alarms:
            if level.above:
                change = alarm.step(at_ns, beyond=value > level.limit, back=value <= level.limit - deadband)
            else:
                change = alarm.step(at_ns, beyond=value < level.limit, back=value >= level.limit + deadband)
            if change:
                found.append(self._transition(level, alarm, change, at_ns, value))
        self._busy = any(alarm.phase is not Phase.NORMAL for _, alarm in self._alarms)
        return found

    def alarms(self) -> Iterator[tuple[str, Alarm]]:
        """Every alarm with the name of its rule."""
        return ((level.rule, alarm) for level, alarm in self._alarms)

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back."""
        for _, alarm in self._alarms:
            alarm.set_back(at_ns)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        return {level.name: alarm.snapshot() for level, alarm in self._alarms}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; levels it does not know start fresh."""
        for level, alarm in self._alarms:
            if level.name in snapshot:
                alarm.restore(snapshot[level.name])
        self._busy = any(alarm.phase is not Phase.NORMAL for _, alarm in self._alarms)

    def _transition(self, level: Level, alarm: Alarm, change: Change, at_ns: int, value: float) -> Transition:
        spec = self.spec
        side = "back within" if change is Change.CLEARED else "above" if level.above else "below"
        limit = _with_unit(level.limit, spec.unit)
        text = f"{_with_unit(value, spec.unit)} is {side} the {level.name} limit {limit}"
        return Transition(
            level.rule,
            change,
            at_ns,
            alarm.raised_at_ns,
            value,
            level.limit,
            level.severity,
            spec.cause,
            text,
        )


class RateWatch:
    """The slope of one tag over a moving window, in constant time per reading.

    Noise: a least-squares line uses every point of the window, so outliers and jitter weigh little: the noise
    of the slope falls with the square root of the points in the window. No verdict before the window is half
    full and has three points. A tag slower than the window is judged by its last three points.
    """

    __slots__ = (
        "_huge",
        "_points",
        "_st",
        "_stt",
        "_stv",
        "_sv",
        "_t0_ns",
        "_v0",
        "alarm",
        "shortened",
        "spec",
    )

    def __init__(self, spec: Rate) -> None:
        self.spec = spec
        self.alarm = Alarm(on_delay_ns=spec.on_delay_ns, off_delay_ns=spec.off_delay_ns)
        self.shortened = 0
        self._huge = 1e6 * spec.per_s * spec.window_ns * 1e-9
        self._points: deque[tuple[int, float]] = deque()
        self._rebuild()

    def update(self, at_ns: int, value: float) -> Transition | None:
        """Take a finite value, not older than the one before; None where nothing happened."""
        points = self._points
        if points and points[-1][0] == at_ns:
            self._drop(points.pop())  # the same moment again: the later word counts
        if not points:
            self._t0_ns, self._v0 = at_ns, value
            self._st = self._sv = self._stt = self._stv = 0.0
        points.append((at_ns, value))
        t, v = (at_ns - self._t0_ns) * 1e-9, value - self._v0
        self._st += t
        self._sv += v
        self._stt += t * t
        self._stv += t * v
        oldest_ns = at_ns - self.spec.window_ns
        while len(points) > POINTS_MIN and points[0][0] < oldest_ns:
            self._drop(points.popleft())
        if len(points) > POINTS_MAX:
            self._drop(points.popleft())
            self.shortened += 1
        slope = self.slope_per_s()
        return None if slope is None else self._judge(at_ns, slope)

    def slope_per_s(self) -> float | None:
        """Units per second over the window; None while that is not known."""
        points = self._points
        n = len(points)
        if n < POINTS_MIN or (points[-1][0] - points[0][0]) * 2 < self.spec.window_ns:
            return None
        slope = slope_per_s(n, self._st, self._sv, self._stt, self._stv)
        if not math.isfinite(slope):
            self._rebuild()
            slope = slope_per_s(n, self._st, self._sv, self._stt, self._stv)
        return slope if math.isfinite(slope) else None

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back: what came before cannot be compared."""
        self._points.clear()
        self._rebuild()
        self.alarm.set_back(at_ns)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data: the alarm and the newest points."""
        points = list(self._points)[-POINTS_SAVED_MAX:]
        return {"alarm": self.alarm.snapshot(), "points": [list(point) for point in points]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.alarm.restore(snapshot["alarm"])
        self._points = deque((int(at_ns), float(value)) for at_ns, value in snapshot["points"])
        self._rebuild()

    def _judge(self, at_ns: int, slope: float) -> Transition | None:
        spec, alarm = self.spec, self.alarm
        size = abs(slope) if spec.direction == "either" else slope if spec.direction == "rising" else -slope
        if size <= spec.per_s and alarm.phase is Phase.NORMAL:
            return None
        change = alarm.step(at_ns, beyond=size > spec.per_s, back=size <= spec.per_s - spec.deadband_per_s)
        if change is None:
            return None
        unit = f"{spec.unit}/s" if spec.unit else "per second"
        verb = "changes by" if change is Change.RAISED else "changes only by"
        text = f"{verb} {_with_unit(slope, unit)} over {spec.window_ns / 1e9:g} s"
        text += f"; the limit is {_with_unit(spec.per_s, unit)}"
        return Transition("rate", change, at_ns, alarm.raised_at_ns, slope, spec.per_s, spec.severity, spec.cause, text)

    def _drop(self, point: tuple[int, float]) -> None:
        t, v = (point[0] - self._t0_ns) * 1e-9, point[1] - self._v0
        self._st -= t
        self._sv -= v
        self._stt -= t * t
        self._stv -= t * v
        # Sums that forget a point keep its rounding error. Start afresh when that could matter: the window
        # has moved far from its origin, or a point has gone that was huge beside anything the limit speaks
        # of.
        if t > self.spec.window_ns * 8e-9 or abs(v) > self._huge:
            self._rebuild()

    def _rebuild(self) -> None:
        points = self._points
        self._t0_ns, self._v0 = points[0] if points else (0, 0.0)
        pairs = [((at_ns - self._t0_ns) * 1e-9, value - self._v0) for at_ns, value in points]
        self._st = sum(t for t, _ in pairs)
        self._sv = sum(v for _, v in pairs)
        self._stt = sum(t * t for t, _ in pairs)
        self._stv = sum(t * v for t, v in pairs)


class StaleWatch:
    """How long one tag has been silent, by arrival. The caller keeps the time of the last good arrival."""

    __slots__ = ("alarm", "spec")

    def __init__(self, spec: Stale) -> None:
        self.spec = spec
        self.alarm = Alarm()

    def arrived(self, now_ns: int) -> Transition | None:
        """A good value is here."""
        if not self.alarm.step(now_ns, beyond=False, back=True):
            return None
        return self._transition(Change.CLEARED, max(now_ns, self.alarm.raised_at_ns), "good values arrive again")

    def tick(self, now_ns: int, last_ns: int) -> Transition | None:
        """Judge the silence since `last_ns`."""
        if self.alarm.is_raised or now_ns - last_ns < self.spec.after_ns:
            return None
        self.alarm.step(now_ns, beyond=True, back=False)
        return self._transition(Change.RAISED, now_ns, f"no good value for {self.spec.after_ns / 1e9:g} s")

    def _transition(self, change: Change, at_ns: int, text: str) -> Transition:
        spec = self.spec
        return Transition(
            "stale",
            change,
            at_ns,
            self.alarm.raised_at_ns,
            None,
            spec.after_ns / 1e9,
            spec.severity,
            spec.cause,
            text,
        )


def slope_per_s(n: int, st: float, sv: float, stt: float, stv: float) -> float:
    """Slope of the least-squares line from the sums over n points; NaN where it is not defined."""
    spread = n * stt - st * st
    return (n * stv - st * sv) / spread if spread > 0.0 else math.nan


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}" if unit else f"{value:.6g}"
