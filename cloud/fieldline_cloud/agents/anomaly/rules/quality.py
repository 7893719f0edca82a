"""A tag whose quality is bad for too long, or in too many of its readings. Pure.

Silence is another rule's matter: here only readings speak. A share clears at half its limit, so that one that hovers
at the limit is not raised and cleared with every reading.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldline.model import Quality, Severity
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition
from fieldline_cloud.agents.anomaly.state import LATE_NS_MAX, Alarm, Change

__all__ = ["QualityRule", "QualityWatch"]

_SLICES: Final = 12
"""A window is counted in so many slices, so it is up to a twelfth longer than asked for."""


@dataclass(frozen=True, slots=True)
class QualityRule:
    """Limits on bad quality. `worst` is the first quality that counts as not good."""

    for_ns: int | None
    share: float | None
    window_ns: int
    readings_min: int
    worst: Quality
    severity: Severity
    cause: str
    latch: bool = False

    def watch(self) -> "QualityWatch":
        """A watch over one tag."""
        return QualityWatch(self)


class QualityWatch:
    """The quality of one tag: an alarm on how long, `quality_long`, and one on how often, `quality_share`."""

    __slots__ = ("_alarms", "_bad", "_count", "_last_ns", "_since_ns", "_slices", "spec")

    def __init__(self, spec: QualityRule) -> None:
        self.spec = spec
        self._alarms = {"quality_long": Alarm(), "quality_share": Alarm()}
        self._since_ns: int | None = None
        self._last_ns = 0
        self._slices: deque[list[int]] = deque()  # [number of the slice, readings, bad ones]
        self._count = 0
        self._bad = 0

    def update(self, at_ns: int, quality: int, *, usable: bool) -> Sequence[Transition] | None:
        """Judge the quality of one reading; `usable` is whether it has a value that is a number, a text or a truth."""
        if at_ns < self._last_ns:
            if self._last_ns - at_ns <= LATE_NS_MAX:
                return None  # late: its quality was of another moment
            self.set_back(at_ns)
        self._last_ns = at_ns
        bad = not usable or quality >= self.spec.worst
        if not bad and not self._bad and not any(alarm.is_raised for alarm in self._alarms.values()):
            self._since_ns = None
            self._add(at_ns, 0)
            return None
        self._add(at_ns, int(bad))
        return [*self._judge_long(at_ns, bad=bad, quality=quality), *self._judge_share(at_ns)]

    def alarms(self) -> Iterator[NamedAlarm]:
        """Both alarms."""
        for rule, alarm in self._alarms.items():
            yield NamedAlarm(rule, alarm, self.spec.severity, self.spec.cause)

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back: counting begins anew there."""
        self._last_ns, self._since_ns = at_ns, None
        self._slices.clear()
        self._count = self._bad = 0
        for alarm in self._alarms.values():
            alarm.set_back(at_ns)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {
            "alarms": {name: alarm.snapshot() for name, alarm in self._alarms.items()},
            "since_ns": self._since_ns,
            "slices": [list(one) for one in self._slices],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        for name, alarm in self._alarms.items():
            alarm.restore(snapshot["alarms"][name])
        self._since_ns = snapshot["since_ns"]
        self._slices = deque([int(number) for number in one] for one in snapshot["slices"])
        self._count = sum(one[1] for one in self._slices)
        self._bad = sum(one[2] for one in self._slices)

    def _add(self, at_ns: int, bad: int) -> None:
        if self.spec.share is None:
            self._bad = bad
            return
        number = at_ns * _SLICES // self.spec.window_ns
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0, 0])
        self._slices[-1][1] += 1
        self._slices[-1][2] += bad
        self._count += 1
        self._bad += bad
        while self._slices[0][0] <= number - _SLICES - 1:
            _, count, gone = self._slices.popleft()
            self._count -= count
            self._bad -= gone

    def _judge_long(self, at_ns: int, *, bad: bool, quality: int) -> Iterator[Transition]:
        limit_ns = self.spec.for_ns
        if not bad:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = at_ns
        if limit_ns is None:
            return
        alarm = self._alarms["quality_long"]
        since_ns = at_ns if self._since_ns is None else self._since_ns
        change = alarm.step(at_ns, beyond=bad and at_ns - since_ns >= limit_ns, back=not bad)
        if change is Change.RAISED:
            text = f"has had no good quality for {(at_ns - since_ns) / 1e9:.0f} s; the last was {_name(quality)}"
            yield self._transition("quality_long", alarm, change, at_ns, (at_ns - since_ns) / 1e9, limit_ns / 1e9, text)
        elif change is Change.CLEARED:
            yield self._transition("quality_long", alarm, change, at_ns, 0.0, limit_ns / 1e9, "has good quality again")

    def _judge_share(self, at_ns: int) -> Iterator[Transition]:
        limit = self.spec.share
        if limit is None or not self._count:
            return
        alarm = self._alarms["quality_share"]
        share = self._bad / self._count
        beyond = share > limit and self._count >= self.spec.readings_min
        change = alarm.step(at_ns, beyond=beyond, back=share <= limit / 2)
        if change is not None:
            window_s = self.spec.window_ns / 1e9
            text = f"is not good in {share:.0%} of its readings of the last {window_s:.0f} s; the limit is {limit:.0%}"
            yield self._transition("quality_share", alarm, change, at_ns, share, limit, text)

    def _transition(
        self, rule: str, alarm: Alarm, change: Change, at_ns: int, value: float, limit: float, text: str
    ) -> Transition:
        spec, raised_at_ns = self.spec, alarm.raised_at_ns
        return Transition(rule, change, at_ns, raised_at_ns, value, limit, spec.severity, spec.cause, text, spec.latch)


def _name(quality: int) -> str:
    try:
        return Quality(quality).name
    except ValueError:
        return str(quality)
