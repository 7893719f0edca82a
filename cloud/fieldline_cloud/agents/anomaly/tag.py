"""One tag under watch: its rules, what learned detectors found in it, and what suppresses its alarms. Pure.

Which readings count:
    bad quality, no value, a repeated last value, NaN, infinity   for quality alone; the tag has "no good value"
    text, true and false                                          against silence and for quality; not for numbers
    older than the reading before, before 1970, after 2116        against silence; not for numbers
    more than 60 s older                                          the clock was set back: all goes on there
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldline.model import DeviceId, Quality, Reading, Severity
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.matching import RuleSet
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, NumberWatch, Transition, Watch
from fieldline_cloud.agents.anomaly.rules.deviation import DeviationWatch
from fieldline_cloud.agents.anomaly.rules.quality import QualityWatch
from fieldline_cloud.agents.anomaly.rules.stale import StaleWatch
from fieldline_cloud.agents.anomaly.state import LATE_NS_MAX, Alarm, Change
from fieldline_cloud.agents.anomaly.stats import AnomalyStats
from fieldline_cloud.agents.anomaly.suppression import Suppression

__all__ = ["AT_NS_MAX", "LEARNED", "TagState", "TagWatch"]

AT_NS_MAX: Final = 1 << 62
"""Readings that claim to be from after the year 2116 are not judged."""
LEARNED: Final = "learned"
"""The kind of all learned detectors, beside the kinds of rule."""
_UNCERTAIN: Final = int(Quality.UNCERTAIN)
_BAD: Final = int(Quality.BAD)


@dataclass(frozen=True, slots=True)
class TagState:
    """What is kept of one tag across a restart.

    `rules` holds, by kind of rule, what its watch remembers, and beside the kinds: `findings` (the conditions of
    learned detectors), `suppress_while`, and `alarms` (what people were told and have said: `AlarmRecord.snapshot`).
    """

    device: DeviceId
    tag: str
    last_at_ns: int
    rules: dict[str, Any]


class TagWatch:
    """The rules of one tag and what they remember."""

    __slots__ = (
        "_changed",
        "_numbers",
        "_stats",
        "_watches",
        "arrived_ns",
        "device",
        "findings",
        "is_changed",
        "last_at_ns",
        "listeners",
        "quality",
        "stale",
        "suppression",
        "tag",
    )

    def __init__(
        self, device: DeviceId, tag: str, rules: RuleSet, *, changed: list["TagWatch"], stats: AnomalyStats
    ) -> None:
        self.device = device
        self.tag = tag
        self._watches: dict[str, Watch] = {kind: rule.watch() for kind, rule in rules.rules().items()}
        stale, quality = self._watches.get("stale"), self._watches.get("quality")
        self.stale = stale if isinstance(stale, StaleWatch) else None
        self.quality = quality if isinstance(quality, QualityWatch) else None
        self._numbers: tuple[NumberWatch, ...] = tuple(
            watch  # type: ignore[misc]  # all others judge numbers
            for watch in self._watches.values()
            if not isinstance(watch, StaleWatch | QualityWatch)
        )
        self.suppression = Suppression(rules.suppress_while) if rules.suppress_while else None
        self.findings: dict[str, tuple[Alarm, Severity]] = {}
        self.listeners: list[TagWatch] = []
        """Tags of the same device that want to know what this one says."""
        self.last_at_ns = 0
        self.arrived_ns = 0
        self.is_changed = False
        self._changed = changed
        self._stats = stats

    def update(self, at_ns: int, value: object, quality: int, now_ns: int) -> Sequence[Transition]:
        """Take one reading; nearly always nothing begins or ends by it."""
        number: float | None
        if type(value) is float and quality < _UNCERTAIN and value - value == 0.0:
            good, number = True, value  # the short way for what comes nearly always
        else:
            good, number = self._sorted_out(value, quality)
        found: Sequence[Transition] = ()
        if self.quality is not None and 0 <= at_ns <= AT_NS_MAX:
            found = self._add(found, self.quality.update(at_ns, quality, usable=good or _is_usable(value)))
        if not good:
            return found
        self.arrived_ns = now_ns
        if self.stale is not None and self.stale.alarm.is_raised:
            cleared = self.stale.arrived(now_ns)
            found = self._add(found, None if cleared is None else (cleared,))
        if number is None or (not self.last_at_ns <= at_ns <= AT_NS_MAX and not self._accept_odd(at_ns)):
            return found
        self.last_at_ns = at_ns
        for watch in self._numbers:
            transitions = watch.update(at_ns, number)
            if transitions is not None:
                found = self._add(found, transitions)
        return found

    def hear(self, other: str, reading: Reading) -> bool:
        """What another tag of the device says; whether alarms are suppressed, or no longer, by that."""
        value, at_ns = reading.value, reading.at_ns
        if value is None or reading.quality >= _BAD or reading.quality == Quality.UNCERTAIN_STALE:
            return False
        deviation = self._watches.get("deviation")
        if isinstance(deviation, DeviationWatch) and deviation.listens_to == other and deviation.hear(value):
            self.mark()
        if self.suppression is None or self.suppression.spec.tag != other or not 0 <= at_ns <= AT_NS_MAX:
            return False
        changed = self.suppression.hear(at_ns, value)
        if changed:
            self.mark()
        return changed

    @property
    def listens_to(self) -> set[str]:
        """The other tags it wants to `hear`."""
        deviation = self._watches.get("deviation")
        setpoint = deviation.listens_to if isinstance(deviation, DeviationWatch) else None
        condition = self.suppression.spec.tag if self.suppression else None
        return {tag for tag in (setpoint, condition) if tag is not None and tag != self.tag}

    def suppresses(self, rule: str) -> bool:
        """Whether alarms of that name are among those that are suppressed where there is a condition."""
        return self.suppression is not None and self.kind_of(rule) in self.suppression.spec.kinds

    def kind_of(self, rule: str) -> str:
        """The kind of rule an alarm of that name belongs to; learned if no rule has it."""
        for kind, watch in self._watches.items():
            if any(one.rule == rule for one in watch.alarms()):
                return kind
        return LEARNED

    def judge(self, finding: Finding) -> Transition | None:
        """Take a finding of a learned detector, as if it were a reading."""
        alarm, severity = self.findings.get(finding.rule) or (Alarm(), finding.severity)
        alarm.on_delay_ns, alarm.off_delay_ns = finding.on_delay_ns, finding.off_delay_ns
        alarm.set_back(finding.at_ns)
        change = alarm.step(finding.at_ns, beyond=finding.score >= 1.0, back=finding.score <= finding.rest)
        if change is None and alarm.is_raised and finding.severity > severity:
            change = Change.WORSENED
        if change is not None or not alarm.is_raised:
            severity = finding.severity
        self.findings[finding.rule] = (alarm, severity)
        self.mark()
        if change is None:
            return None
        limit = 1.0 if finding.band is None else _nearer(finding.value, finding.band.low, finding.band.high)
        return Transition(
            finding.rule,
            change,
            finding.at_ns,
            alarm.raised_at_ns,
            finding.value,
            limit,
            finding.severity,
            finding.cause,
            finding.message,
            confidence=finding.confidence,
            window=finding.window,
            band=finding.band,
            contributions=finding.contributions,
        )

    def tick(self, now_ns: int, grace_ns: int) -> Transition | None:
        """Judge the silence of the tag, but none before `grace_ns`."""
        if self.stale is None:
            return None
        last_ns = self.arrived_ns if grace_ns <= self.arrived_ns <= now_ns else grace_ns
        transition = self.stale.tick(now_ns, last_ns)
        if transition:
            self.mark()
        return transition

    def alarms(self) -> dict[str, Alarm]:
        """Every condition by the name of its rule, those of learned detectors among them."""
        return {one.rule: one.alarm for one in self.named_alarms()} | {
            rule: alarm for rule, (alarm, _) in self.findings.items()
        }

    def named_alarms(self) -> Iterator[NamedAlarm]:
        """Every alarm of the rules, raised or not."""
        for watch in self._watches.values():
            yield from watch.alarms()

    def mark(self) -> None:
        """There is something to save."""
        if not self.is_changed:
            self.is_changed = True
            self._changed.append(self)

    def snapshot(self, kept: Mapping[str, Any]) -> TagState:
        """What `restore` needs; `kept` is what the board keeps of this tag."""
        rules: dict[str, Any] = {**kept}
        rules |= {kind: watch.snapshot() for kind, watch in self._watches.items()}
        if self.suppression:
            rules["suppress_while"] = self.suppression.snapshot()
        if self.findings:
            rules["findings"] = {
                rule: [*alarm.snapshot(), int(severity)] for rule, (alarm, severity) in self.findings.items()
            }
        return TagState(self.device, self.tag, self.last_at_ns, rules)

    def restore(self, state: TagState) -> None:
        """Go on where the snapshot was taken, as far as the rules are still the same."""
        self.last_at_ns = state.last_at_ns
        for kind, watch in self._watches.items():
            if kind in state.rules:
                watch.restore(state.rules[kind])
        if self.suppression and "suppress_while" in state.rules:
            self.suppression.restore(state.rules["suppress_while"])
        for rule, (*kept, severity) in state.rules.get("findings", {}).items():
            alarm = Alarm()
            alarm.restore(kept)
            self.findings[rule] = (alarm, Severity(severity))

    def _sorted_out(self, value: object, quality: int) -> tuple[bool, float | None]:
        """Whether this counts as a good value, and its number if it has one."""
        if value is None or quality >= _BAD or quality == Quality.UNCERTAIN_STALE:
            self._stats.readings_not_good += 1
            return False, None
        if isinstance(value, bool | str):
            if self._numbers:
                self._stats.readings_not_numeric += 1
            return True, None
        try:
            number = float(value)  # type: ignore[arg-type]  # what is left is int or float
        except OverflowError:
            number = float("inf")
        if number - number != 0.0:
            self._stats.readings_not_finite += 1
            return False, None
        return True, number

    def _accept_odd(self, at_ns: int) -> bool:
        if self.last_at_ns - at_ns <= LATE_NS_MAX or at_ns < 0:  # late, or beyond AT_NS_MAX, or nonsense
            self._stats.readings_late += 1
            return False
        self._stats.clocks_set_back += 1
        for watch in self._watches.values():
            watch.set_back(at_ns)
        return True

    def _add(self, found: Sequence[Transition], transitions: Sequence[Transition] | None) -> Sequence[Transition]:
        if transitions is None:
            return found
        self.mark()
        return (*found, *transitions) if transitions else found


def _is_usable(value: object) -> bool:
    """Whether a reading has a value at all, whatever its quality."""
    return value is not None and not (isinstance(value, float) and value - value != 0.0)


def _nearer(value: float, low: float, high: float) -> float:
    return low if abs(value - low) < abs(value - high) else high
