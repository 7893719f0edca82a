"""Suppression by design: while another tag of the device says so, and a while after, alarms are put aside. Pure.

    off ──condition holds──► on ──holds no more──► grace ──grace is over──► off
                             ▲                       │
                             └───condition holds─────┘

All in the time of the readings: the start of a machine is where its readings say it is, also in history.
"""

from dataclasses import dataclass
from enum import IntEnum

from fieldline.model import Value
from fieldline_cloud.agents.anomaly.state import LATE_NS_MAX

__all__ = ["Suppress", "Suppression"]


@dataclass(frozen=True, slots=True)
class Suppress:
    """The condition: a value of `tag`, of the same device, and what of it counts. One of the three is set."""

    tag: str
    equals: Value
    below: float | None
    above: float | None
    grace_ns: int
    kinds: frozenset[str]
    """Kinds of rule that are suppressed: range, rate, ..., and learned for all learned detectors."""

    @property
    def words(self) -> str:
        """For the alert: while what."""
        if self.equals is not None:
            return f"suppressed while {self.tag} is {str(self.equals).lower()}"
        limit, side = (self.above, "above") if self.below is None else (self.below, "below")
        return f"suppressed while {self.tag} is {side} {limit:g}"

    def holds(self, value: Value) -> bool:
        """Whether alarms are to be put aside at this value. False and 0 are the same, as are true and 1."""
        if self.equals is not None:
            return value == self.equals
        if isinstance(value, str) or value is None:
            return False
        return (self.below is not None and value < self.below) or (self.above is not None and value > self.above)


class _Phase(IntEnum):
    OFF = 0
    ON = 1
    GRACE = 2


class Suppression:
    """Whether the alarms of one tag are suppressed. Nothing is while the condition's tag has not been heard."""

    __slots__ = ("_heard_ns", "_phase", "_since_ns", "spec")

    def __init__(self, spec: Suppress) -> None:
        self.spec = spec
        self._phase = _Phase.OFF
        self._since_ns = 0
        self._heard_ns = 0

    @property
    def is_on(self) -> bool:
        """Whether alarms are put aside now."""
        return self._phase is not _Phase.OFF

    @property
    def may_end(self) -> bool:
        """Whether only time is needed for it to end: `pass_to` is to be called."""
        return self._phase is _Phase.GRACE

    def hear(self, at_ns: int, value: Value) -> bool:
        """A good value of the condition's tag; whether `is_on` has changed by it. A late one is left out."""
        if 0 < self._heard_ns - at_ns <= LATE_NS_MAX:
            return False
        self._heard_ns = at_ns
        before = self.is_on
        if self.spec.holds(value):
            self._phase = _Phase.ON
        elif self._phase is _Phase.ON:
            self._phase, self._since_ns = _Phase.GRACE, at_ns
        self.pass_to(at_ns)
        return self.is_on is not before

    def pass_to(self, at_ns: int) -> bool:
        """It is `at_ns`, says a reading of the device; whether the grace is over by that."""
        if self._phase is not _Phase.GRACE:
            return False
        self._since_ns = min(self._since_ns, at_ns)  # a clock that was set back begins the grace again
        if at_ns - self._since_ns < self.spec.grace_ns:
            return False
        self._phase = _Phase.OFF
        return True

    def snapshot(self) -> list[int]:
        """What `restore` needs."""
        return [int(self._phase), self._since_ns, self._heard_ns]

    def restore(self, snapshot: list[int]) -> None:
        """Go on where `snapshot` was taken."""
        phase, self._since_ns, self._heard_ns = snapshot
        self._phase = _Phase(phase)
