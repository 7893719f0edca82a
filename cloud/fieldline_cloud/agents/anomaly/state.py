"""The condition of one alarm as a state machine: on-delay, raised, off-delay, cleared. Pure; time is handed in.

    normal ──beyond──► rising ──on-delay over──► raised ──back──► falling ──off-delay over──► normal
       ▲                 │                         ▲                 │
       └───not beyond────┘                         └────not back─────┘

"Beyond" is the wrong side of the limit, "back" the right side with the deadband to spare. Between the two
nothing changes: that is the hysteresis. What people are told of it is another matter: `alarms/record.py`.
"""

from enum import Enum, IntEnum
from typing import Final

__all__ = ["LATE_NS_MAX", "Alarm", "Change", "Phase"]

LATE_NS_MAX: Final = 60 * 1_000_000_000
"""A reading older than its predecessor by more than this is a clock that was set back, not a late reading."""


class Phase(IntEnum):
    """Where an alarm stands. Values are stored."""

    NORMAL = 0
    RISING = 1
    RAISED = 2
    FALLING = 3


class Change(Enum):
    """What a step can lead to."""

    RAISED = "raised"
    CLEARED = "cleared"
    WORSENED = "worsened"
    """It was raised before, and matters more now. No step leads here: who knows the severity says so."""


class Alarm:
    """One alarm. Delays are counted in the time of the readings, so they end only when a reading says so.

    `raised_at_ns` names the current (or last) raising and never repeats: if clocks say the same moment again,
    it is the next nanosecond.
    """

    __slots__ = ("off_delay_ns", "on_delay_ns", "phase", "raised_at_ns", "since_ns")

    def __init__(self, *, on_delay_ns: int = 0, off_delay_ns: int = 0) -> None:
        self.on_delay_ns = on_delay_ns
        self.off_delay_ns = off_delay_ns
        self.phase = Phase.NORMAL
        self.since_ns = 0
        self.raised_at_ns = 0

    @property
    def is_raised(self) -> bool:
        """Whether people have been told, and not yet told otherwise."""
        return self.phase >= Phase.RAISED

    def step(self, at_ns: int, *, beyond: bool, back: bool) -> Change | None:
        """Take one observation; say whether the alarm was raised or cleared by it."""
        if self.phase is Phase.NORMAL and beyond:
            self.phase, self.since_ns = Phase.RISING, at_ns
        elif self.phase is Phase.RISING and not beyond:
            self.phase = Phase.NORMAL
        elif self.phase is Phase.RAISED and back:
            self.phase, self.since_ns = Phase.FALLING, at_ns
        elif self.phase is Phase.FALLING and not back:
            self.phase = Phase.RAISED
        return self._after_delay(at_ns)

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back to `at_ns`: delays begin again there."""
        self.since_ns = min(self.since_ns, at_ns)

    def snapshot(self) -> list[int]:
        """What `restore` needs."""
        return [int(self.phase), self.since_ns, self.raised_at_ns]

    def restore(self, snapshot: list[int]) -> None:
        """Go on where `snapshot` was taken."""
        phase, self.since_ns, self.raised_at_ns = snapshot
        self.phase = Phase(phase)

    def _after_delay(self, at_ns: int) -> Change | None:
        if self.phase is Phase.RISING and at_ns - self.since_ns >= self.on_delay_ns:
            self.phase = Phase.RAISED
            self.raised_at_ns = max(at_ns, self.raised_at_ns + 1)
            return Change.RAISED
        if self.phase is Phase.FALLING and at_ns - self.since_ns >= self.off_delay_ns:
            self.phase = Phase.NORMAL
            return Change.CLEARED
        return None
