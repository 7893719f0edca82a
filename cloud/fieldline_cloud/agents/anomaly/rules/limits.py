"""Limits on the value of a tag: lo_lo, lo, hi, hi_hi. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition, with_unit
from fieldline_cloud.agents.anomaly.rules.units import unit_change
from fieldline_cloud.agents.anomaly.state import Alarm, Change, Phase

__all__ = ["Level", "Range", "RangeWatch"]


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
    latch: bool = False

    def watch(self) -> "RangeWatch":
        """A watch over one tag."""
        return RangeWatch(self)


class RangeWatch:
    """The limits of one tag. `update` costs two comparisons while the value is well and no alarm is on."""

    __slots__ = ("_alarms", "_busy", "_high", "_hint", "_low", "_well", "spec")

    def __init__(self, spec: Range) -> None:
        self.spec = spec
        self._alarms = [
            (level, Alarm(on_delay_ns=spec.on_delay_ns, off_delay_ns=spec.off_delay_ns)) for level in spec.levels
        ]
        self._low = max((level.limit for level in spec.levels if not level.above), default=-math.inf)
        self._high = min((level.limit for level in spec.levels if level.above), default=math.inf)
        self._busy = False
        self._well: float | None = None  # the last value before something began
        self._hint = ""

    def update(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        """Judge a finite value; None where nothing happened and nothing is pending: nearly always."""
        if not self._busy:
            if self._low <= value <= self._high:
                self._well = value
                return None
            self._hint = "" if self._well is None else unit_change(self._well, value)
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

    def alarms(self) -> Iterator[NamedAlarm]:
        """One alarm for each level."""
        for level, alarm in self._alarms:
            yield NamedAlarm(level.rule, alarm, level.severity, self.spec.cause)

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
        limit = with_unit(level.limit, spec.unit)
        text = f"{with_unit(value, spec.unit)} is {side} the {level.name} limit {limit}"
        if change is Change.RAISED and self._hint:
            text += f"; {self._hint}"
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
            spec.latch,
        )
