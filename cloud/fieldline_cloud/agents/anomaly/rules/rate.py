"""A limit on how fast a tag changes. Pure."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition, with_unit
from fieldline_cloud.agents.anomaly.state import Alarm, Change, Phase

__all__ = ["Rate", "RateWatch", "slope_per_s"]

POINTS_MAX: Final = 4_096
"""Points a rate window holds; past that the oldest go and the window is shorter than asked for."""
POINTS_MIN: Final = 3
"""Points a rate is judged by at least: two would make every jitter of the clock a rate."""
POINTS_SAVED_MAX: Final = 256


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
    latch: bool = False

    def watch(self) -> "RateWatch":
        """A watch over one tag."""
        return RateWatch(self)


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

    def update(self, at_ns: int, value: float) -> Sequence[Transition]:
        """Take a finite value, not older than the one before. The window has always changed."""
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
        return () if slope is None else self._judge(at_ns, slope)

    def alarms(self) -> Iterator[NamedAlarm]:
        """The one alarm."""
        yield NamedAlarm("rate", self.alarm, self.spec.severity, self.spec.cause)

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

    def _judge(self, at_ns: int, slope: float) -> Sequence[Transition]:
        spec, alarm = self.spec, self.alarm
        size = abs(slope) if spec.direction == "either" else slope if spec.direction == "rising" else -slope
        if size <= spec.per_s and alarm.phase is Phase.NORMAL:
            return ()
        change = alarm.step(at_ns, beyond=size > spec.per_s, back=size <= spec.per_s - spec.deadband_per_s)
        if change is None:
            return ()
        unit = f"{spec.unit}/s" if spec.unit else "per second"
        verb = "changes by" if change is Change.RAISED else "changes only by"
        text = f"{verb} {with_unit(slope, unit)} over {spec.window_ns / 1e9:g} s"
        text += f"; the limit is {with_unit(spec.per_s, unit)}"
        return (
            Transition(
                "rate",
                change,
                at_ns,
                alarm.raised_at_ns,
                slope,
                spec.per_s,
                spec.severity,
                spec.cause,
                text,
                spec.latch,
            ),
        )

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


def slope_per_s(n: int, st: float, sv: float, stt: float, stv: float) -> float:
    """Slope of the least-squares line from the sums over n points; NaN where it is not defined."""
    spread = n * stt - st * st
    return (n * stv - st * sv) / spread if spread > 0.0 else math.nan
