"""A limit on how long no good value may arrive. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition
from fieldline_cloud.agents.anomaly.state import Alarm, Change

__all__ = ["Stale", "StaleWatch"]


@dataclass(frozen=True, slots=True)
class Stale:
    """A limit on how long no good value may arrive."""

    after_ns: int
    severity: Severity
    cause: str
    latch: bool = False

    def watch(self) -> "StaleWatch":
        """A watch over one tag."""
        return StaleWatch(self)


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

    def alarms(self) -> Iterator[NamedAlarm]:
        """The one alarm."""
        yield NamedAlarm("stale", self.alarm, self.spec.severity, self.spec.cause)

    def set_back(self, at_ns: int) -> None:
        """Silence is not judged by the time of the readings."""

    def snapshot(self) -> list[int]:
        """What `restore` needs."""
        return self.alarm.snapshot()

    def restore(self, snapshot: list[int]) -> None:
        """Go on where `snapshot` was taken."""
        self.alarm.restore(snapshot)

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
            spec.latch,
        )
