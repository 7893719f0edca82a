"""Alarms on the value of one tag, judged where it is read. Pure.

    normal ──beyond──► rising ──on delay over──► raised ──back──► falling ──off delay over──► normal

Beyond is the wrong side of the limit, back the right side with the deadband to spare; between the two nothing changes.
Delays run in the time of the readings while readings come, and in the time of arrival where none do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from fieldline.model import Alert, AlertState, DeviceId, Evidence, Quality, Reading, Severity
from fieldline_edge.processing.stage import NEVER_S, number_of

__all__ = ["MISSING", "AlarmSpec", "Level", "Watch", "forgotten"]

MISSING: Final = "edge_missing"
"""Rule of the alarm on silence. Those on limits are edge_hi and so on: never the names of the anomaly agent's."""


@dataclass(frozen=True, slots=True)
class Level:
    """One limit: lo_lo, lo, hi or hi_hi."""

    name: str
    limit: float
    above: bool
    severity: Severity

    @property
    def rule(self) -> str:
        """The rule its alerts carry."""
        return f"edge_{self.name}"


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """What is watched on one tag of one device. Without `missing_ns` silence is no alarm."""

    device: DeviceId
    tag: str
    unit: str
    levels: tuple[Level, ...]
    cause: str
    message: str = ""
    deadband: float = 0.0
    on_delay_ns: int = 0
    off_delay_ns: int = 0
    missing_ns: int | None = None
    missing_severity: Severity = Severity.WARNING


_BAD: Final = Quality.BAD


class _Phase(Enum):
    NORMAL = "normal"
    RISING = "rising"
    RAISED = "raised"
    FALLING = "falling"


@dataclass(slots=True)
class _Alarm:
    """The state of one level."""

    level: Level
    phase: _Phase = _Phase.NORMAL
    since_ns: int = 0
    due_at_s: float = NEVER_S  # when a delay is over, if no reading says so before
    alert: Alert | None = None  # as it was raised, while it is
    raised_at_ns: int = 0  # the last time: no two raisings share one, because ids are made of it


class Watch:
    """All alarms of one tag. Costs two comparisons for a value that is well while nothing is pending.

    A bad reading says nothing about a limit: what was raised stays, what was pending begins again.
    """

    __slots__ = (
        "_alarms",
        "_busy",
        "_high",
        "_last_bad",
        "_low",
        "_missing",
        "_missing_due_s",
        "_missing_s",
        "due_at_s",
        "spec",
    )

    def __init__(self, spec: AlarmSpec, now_s: float) -> None:
        self.spec = spec
        self._alarms = [_Alarm(level) for level in spec.levels]
        self._low = max((level.limit for level in spec.levels if not level.above), default=-math.inf)
        self._high = min((level.limit for level in spec.levels if level.above), default=math.inf)
        self._busy = False
        self._missing: Alert | None = None
        self._missing_s = NEVER_S if spec.missing_ns is None else spec.missing_ns / 1e9
        self._last_bad: Quality | None = None
        self._missing_due_s = NEVER_S
        self._heard(now_s)
        self.due_at_s = self._missing_due_s

    def put(self, reading: Reading, now_s: float) -> list[Alert] | None:
        """Judge a reading: alerts raised and cleared by it, or None."""
        value = None if reading.quality >= _BAD else number_of(reading.value)
        if value is not None and not self._busy and self._low <= value <= self._high and self._missing is None:
            # Well, as nearly always. Silence is counted from here; the shell looks again when it would have been.
            self.due_at_s = self._missing_due_s = now_s + self._missing_s
            return None
        if value is None:
            self._last_bad = reading.quality
            self._begin_again()
            return None
        found: list[Alert] = []
        if self.spec.missing_ns is not None:
            found += self._arrived(reading, now_s)
        if self._busy or not self._low <= value <= self._high:
            for alarm in self._alarms:
                found += self._step(alarm, reading.at_ns, value, now_s)
        if self._busy or self.spec.missing_ns is not None:
            self._look_ahead()
        return found or None

    def tick(self, now_s: float, now_ns: int) -> list[Alert]:
        """Judge that time has passed; `now_ns` is Unix time."""
        found: list[Alert] = []
        for alarm in self._alarms:
            if now_s >= alarm.due_at_s:
                found += self._after_delay(alarm, now_ns)
        if now_s >= self._missing_due_s:
            found.append(self._raise_missing(now_ns))
        self._look_ahead()
        return found

    @property
    def fingerprints(self) -> list[str]:
        """Of all alarms that are watched here."""
        found = [self._fingerprint(alarm.level.rule) for alarm in self._alarms]
        return found if self.spec.missing_ns is None else [*found, self._fingerprint(MISSING)]

    def restore(self, raised: Mapping[str, Alert]) -> None:
        """Go on with alerts that were raised before a restart, by fingerprint."""
        for alarm in self._alarms:
            alert = raised.get(self._fingerprint(alarm.level.rule))
            if alert is not None:
                alarm.phase, alarm.alert, alarm.raised_at_ns = _Phase.RAISED, alert, alert.raised_at_ns
                self._busy = True
        if self.spec.missing_ns is not None and (alert := raised.get(self._fingerprint(MISSING))):
            self._missing, self._missing_due_s = alert, NEVER_S
        self._look_ahead()

    def _fingerprint(self, rule: str) -> str:
        return f"{self.spec.device}:{self.spec.tag}:{rule}"

    def _step(self, alarm: _Alarm, at_ns: int, value: float, now_s: float) -> list[Alert]:
        level, deadband = alarm.level, self.spec.deadband
        beyond = value > level.limit if level.above else value < level.limit
        back = value <= level.limit - deadband if level.above else value >= level.limit + deadband
        if alarm.phase is _Phase.NORMAL and beyond:
            self._begin(alarm, _Phase.RISING, at_ns, now_s, self.spec.on_delay_ns)
            alarm.alert = self._alert(alarm, at_ns, value)
        elif alarm.phase is _Phase.RISING and not beyond:
            alarm.phase, alarm.alert, alarm.due_at_s = _Phase.NORMAL, None, NEVER_S
        elif alarm.phase is _Phase.RAISED and back:
            self._begin(alarm, _Phase.FALLING, at_ns, now_s, self.spec.off_delay_ns)
        elif alarm.phase is _Phase.FALLING and not back:
            alarm.phase, alarm.due_at_s = _Phase.RAISED, NEVER_S
        alarm.since_ns = min(alarm.since_ns, at_ns)  # a clock that was set back begins the delay again
        self._look_busy()
        delay_ns = self.spec.on_delay_ns if alarm.phase is _Phase.RISING else self.spec.off_delay_ns
        if alarm.phase in (_Phase.RISING, _Phase.FALLING) and at_ns - alarm.since_ns >= delay_ns:
            if alarm.phase is _Phase.RISING:
                alarm.alert = self._alert(alarm, at_ns, value)
            return self._after_delay(alarm, at_ns, value)
        return []

    def _begin(self, alarm: _Alarm, phase: _Phase, at_ns: int, now_s: float, delay_ns: int) -> None:
        alarm.phase, alarm.since_ns, alarm.due_at_s = phase, at_ns, now_s + delay_ns / 1e9

    def _after_delay(self, alarm: _Alarm, at_ns: int, value: float | None = None) -> list[Alert]:
        """The delay is over: raised or cleared."""
        alarm.due_at_s = NEVER_S
        assert alarm.alert is not None, "made when it began to rise"
        if alarm.phase is _Phase.RISING:
            alarm.phase = _Phase.RAISED
            alarm.raised_at_ns = max(alarm.raised_at_ns + 1, at_ns)
            alarm.alert = replace(alarm.alert, raised_at_ns=alarm.raised_at_ns)
            return [alarm.alert]
        cleared, alarm.alert, alarm.phase = alarm.alert, None, _Phase.NORMAL
        self._look_busy()
        text = f"back within the {alarm.level.name} limit {self._with_unit(alarm.level.limit)}"
        if value is not None:
            text = f"{self._with_unit(value)} is {text}"
        return [_cleared(cleared, at_ns, self._text(text))]

    def _alert(self, alarm: _Alarm, at_ns: int, value: float) -> Alert:
        level, spec = alarm.level, self.spec
        side = "above" if level.above else "below"
        text = f"{self._with_unit(value)} is {side} the {level.name} limit {self._with_unit(level.limit)}"
        return Alert(
            device=spec.device,
            tag=spec.tag,
            rule=level.rule,
            cause=spec.cause,
            severity=level.severity,
            state=AlertState.RAISED,
            raised_at_ns=max(1, at_ns),
            message=self._text(text),
            evidence=(Evidence(spec.tag, at_ns, float(value), level.limit),),
        )

    def _begin_again(self) -> None:
        for alarm in self._alarms:
            if alarm.phase is _Phase.RISING:
                alarm.phase, alarm.alert, alarm.due_at_s = _Phase.NORMAL, None, NEVER_S
            elif alarm.phase is _Phase.FALLING:
                alarm.phase, alarm.due_at_s = _Phase.RAISED, NEVER_S
        self._look_busy()
        self._look_ahead()

    def _heard(self, now_s: float) -> None:
        self._missing_due_s = now_s + self._missing_s

    def _arrived(self, reading: Reading, now_s: float) -> list[Alert]:
        self._heard(now_s)
        self._last_bad = None
        missing, self._missing = self._missing, None
        return [] if missing is None else [_cleared(missing, reading.at_ns, self._text("values arrive again"))]

    def _raise_missing(self, now_ns: int) -> Alert:
        spec = self.spec
        assert spec.missing_ns is not None, "there is no alarm on silence without"
        self._missing_due_s = NEVER_S
        why = "" if self._last_bad is None else f"; the last reading was {self._last_bad.name}"
        self._missing = Alert(
            device=spec.device,
            tag=spec.tag,
            rule=MISSING,
            cause=spec.cause,
            severity=spec.missing_severity,
            state=AlertState.RAISED,
            raised_at_ns=max(1, now_ns),
            message=self._text(f"no usable value for {spec.missing_ns / 1e9:g} s{why}"),
        )
        return self._missing

    def _look_busy(self) -> None:
        self._busy = any(alarm.phase is not _Phase.NORMAL for alarm in self._alarms)

    def _look_ahead(self) -> None:
        self.due_at_s = min(self._missing_due_s, min((alarm.due_at_s for alarm in self._alarms), default=NEVER_S))

    def _text(self, text: str) -> str:
        return f"{self.spec.message}: {text}" if self.spec.message else text

    def _with_unit(self, value: float) -> str:
        return f"{value:.6g} {self.spec.unit}" if self.spec.unit else f"{value:.6g}"


def forgotten(alert: Alert, now_ns: int) -> Alert:
    """The end of an alert whose alarm is no longer configured."""
    return _cleared(alert, now_ns, "no longer watched: the alarm was taken out of the configuration")


def _cleared(alert: Alert, at_ns: int, message: str) -> Alert:
    return replace(alert, state=AlertState.CLEARED, cleared_at_ns=max(alert.raised_at_ns, at_ns), message=message)
