"""A value that is stuck: a lively tag that has stopped to move. Pure.

Many tags stand still by nature: switches, setpoints, counters of a machine that is off, coarse sensors. So a tag is
judged only once it has shown how lively it is. It must have had `distinct_min` different values, and it must stand
still for longer than `after_ns` and than `pauses` times the longest pause it has lately made between two values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition, with_unit
from fieldline_cloud.agents.anomaly.state import Alarm, Change

__all__ = ["Flatline", "FlatlineWatch"]

_FADE: Final = 32
"""How slowly a long pause is forgotten: by a 32nd of itself with every shorter one."""


@dataclass(frozen=True, slots=True)
class Flatline:
    """A limit on how long a value may stay within `span` of where it stands."""

    span: float
    after_ns: int
    distinct_min: int
    pauses: float
    severity: Severity
    cause: str
    unit: str
    latch: bool = False

    def watch(self) -> "FlatlineWatch":
        """A watch over one tag."""
        return FlatlineWatch(self)


class FlatlineWatch:
    """How long one tag has stood still, in constant time and memory."""

    __slots__ = ("_anchor", "_distinct", "_last_ns", "_longest_ns", "_since_ns", "alarm", "spec")

    def __init__(self, spec: Flatline) -> None:
        self.spec = spec
        self.alarm = Alarm()
        self._anchor: float | None = None
        self._since_ns = 0
        self._last_ns = 0
        self._longest_ns = 0
        self._distinct: set[float] = set()

    @property
    def is_lively(self) -> bool:
        """Whether the tag has had enough different values to be judged."""
        return len(self._distinct) >= self.spec.distinct_min

    def update(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        """Judge a finite value."""
        gap_ns, self._last_ns = at_ns - self._last_ns, at_ns
        if self._anchor is None:
            return self._begin(at_ns, value)
        if abs(value - self._anchor) > self.spec.span:
            return self._moved(at_ns, value)
        if gap_ns > self.spec.after_ns // 4:
            self._since_ns += gap_ns  # nobody looked: a hole in the data is no proof that nothing moved
        still_ns = at_ns - self._since_ns
        if self.alarm.is_raised or not self.is_lively or still_ns < self._limit_ns():
            return None
        self.alarm.step(at_ns, beyond=True, back=False)
        text = f"stands still at {with_unit(value, self.spec.unit)} for {still_ns / 1e9:.0f} s"
        return (
            self._transition(Change.RAISED, at_ns, value, f"{text}; at most {self._limit_ns() / 1e9:.0f} s is usual"),
        )

    def alarms(self) -> Iterator[NamedAlarm]:
        """The one alarm."""
        yield NamedAlarm("flatline", self.alarm, self.spec.severity, self.spec.cause)

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back: standing still is counted from there."""
        self._since_ns = self._last_ns = at_ns
        self.alarm.set_back(at_ns)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs. Not since when it stands still: what moved unseen is not known."""
        return {"alarm": self.alarm.snapshot(), "longest_ns": self._longest_ns, "distinct": sorted(self._distinct)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; a raised alarm ends when a value differs from the first that comes."""
        self.alarm.restore(snapshot["alarm"])
        self._longest_ns = int(snapshot["longest_ns"])
        self._distinct = {float(value) for value in snapshot["distinct"]}

    def _begin(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        self._anchor, self._since_ns = value, at_ns
        return self._note(value)

    def _moved(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        pause_ns = at_ns - self._since_ns
        self._anchor, self._since_ns = value, at_ns
        noted = self._note(value)
        if self.alarm.step(at_ns, beyond=False, back=True):
            return (self._transition(Change.CLEARED, at_ns, value, f"moves again: {with_unit(value, self.spec.unit)}"),)
        if pause_ns > self._longest_ns:
            self._longest_ns = pause_ns
            return ()
        self._longest_ns -= (self._longest_ns - pause_ns) // _FADE
        return noted

    def _note(self, value: float) -> Sequence[Transition] | None:
        if self.is_lively or value in self._distinct:
            return None
        self._distinct.add(value)
        return ()

    def _limit_ns(self) -> int:
        return max(self.spec.after_ns, int(self.spec.pauses * self._longest_ns))

    def _transition(self, change: Change, at_ns: int, value: float, text: str) -> Transition:
        spec, raised_at_ns = self.spec, self.alarm.raised_at_ns
        return Transition(
            "flatline", change, at_ns, raised_at_ns, value, value, spec.severity, spec.cause, text, spec.latch
        )
