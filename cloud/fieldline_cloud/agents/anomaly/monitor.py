"""All tags under watch: readings and ticks in, alerts out. Pure: no clock, no disk, no network.

Which readings count:
    bad quality, no value, a repeated last value, NaN, infinity   for nothing; the tag has "no good value"
    text, true and false                                          against silence; not for range and rate
    older than the reading before, before 1970, after 2116        against silence; not for range and rate
    more than 60 s older                                          the clock was set back: all goes on there
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fieldline.model import Alert, AlertState, DeviceId, Evidence, Quality, Reading
from fieldline.wire.plant import MESSAGE_BYTES_MAX, TAG_BYTES_MAX
from fieldline_cloud.agents.anomaly.matching import RuleBook, RuleSet
from fieldline_cloud.agents.anomaly.rules import RangeWatch, RateWatch, StaleWatch, Transition
from fieldline_cloud.agents.anomaly.state import Alarm, Change

__all__ = ["AnomalyStats", "Monitor", "TagState", "TagWatch"]

log = logging.getLogger(__name__)

SET_BACK_NS: Final = 60 * 1_000_000_000
"""A reading older than its predecessor by more than this is a clock that was set back, not a late reading."""
TICK_GAP_NS_MAX: Final = 5 * 1_000_000_000
"""Ticks further apart mean that the agent stood still or its clock jumped: silence is counted afresh."""
AT_NS_MAX: Final = 1 << 62
"""Readings that claim to be from after the year 2116 are not judged."""
_UNCERTAIN: Final = int(Quality.UNCERTAIN)
_BAD: Final = int(Quality.BAD)


@dataclass(slots=True)
class AnomalyStats:
    """Counters since the start; plain integers, cheap to keep."""

    frames: int = 0
    frames_repeated: int = 0
    frames_undecodable: int = 0
    frames_misplaced: int = 0
    readings: int = 0
    readings_not_good: int = 0
    readings_not_finite: int = 0
    readings_not_numeric: int = 0
    readings_late: int = 0
    clocks_set_back: int = 0
    readings_refused: int = 0
    graces: int = 0
    alerts_raised: int = 0
    alerts_cleared: int = 0
    saves: int = 0


@dataclass(frozen=True, slots=True)
class TagState:
    """What is kept of one tag across a restart."""

    device: DeviceId
    tag: str
    last_at_ns: int
    rules: dict[str, Any]


class TagWatch:
    """The rules of one tag and what they remember."""

    __slots__ = (
        "_changed",
        "_stats",
        "arrived_ns",
        "device",
        "is_changed",
        "last_at_ns",
        "range",
        "rate",
        "stale",
        "tag",
    )

    def __init__(
        self, device: DeviceId, tag: str, rules: RuleSet, *, changed: list["TagWatch"], stats: AnomalyStats
    ) -> None:
        self.device = device
        self.tag = tag
        self.range = RangeWatch(rules.range) if rules.range else None
        self.rate = RateWatch(rules.rate) if rules.rate else None
        self.stale = StaleWatch(rules.stale) if rules.stale else None
        self.last_at_ns = 0
        self.arrived_ns = 0
        self.is_changed = False
        self._changed = changed
        self._stats = stats

    def update(self, at_ns: int, value: object, quality: int, now_ns: int) -> list[Transition] | None:
        """Take one reading; None where nothing was raised or cleared, which is nearly always."""
        if type(value) is float and quality < _UNCERTAIN and value - value == 0.0:
            number: float | None = value  # the short way for what comes nearly always
        else:
            good, number = self._sorted_out(value, quality)
            if not good:
                return None
        self.arrived_ns = now_ns
        found: list[Transition] | None = None
        if self.stale is not None and self.stale.alarm.is_raised:
            found = self._add(found, self.stale.arrived(now_ns))
        if number is None:
            return found
        if not self.last_at_ns <= at_ns <= AT_NS_MAX and not self._accept_odd(at_ns):
            return found
        self.last_at_ns = at_ns
        if self.range is not None:
            transitions = self.range.update(at_ns, number)
            if transitions is not None:
                self.mark()
                found = (found or []) + transitions if transitions else found
        if self.rate is not None:
            if not self.is_changed:
                self.mark()
            found = self._add(found, self.rate.update(at_ns, number))
        return found

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
        """Every alarm by the name of its rule."""
        found = dict(self.range.alarms()) if self.range else {}
        if self.rate:
            found["rate"] = self.rate.alarm
        if self.stale:
            found["stale"] = self.stale.alarm
        return found

    def mark(self) -> None:
        """There is something to save."""
        if not self.is_changed:
            self.is_changed = True
            self._changed.append(self)

    def snapshot(self) -> TagState:
        """What `restore` needs."""
        rules: dict[str, Any] = {}
        if self.range:
            rules["range"] = self.range.snapshot()
        if self.rate:
            rules["rate"] = self.rate.snapshot()
        if self.stale:
            rules["stale"] = self.stale.alarm.snapshot()
        return TagState(self.device, self.tag, self.last_at_ns, rules)

    def restore(self, state: TagState) -> None:
        """Go on where the snapshot was taken, as far as the rules are still the same."""
        self.last_at_ns = state.last_at_ns
        if self.range and "range" in state.rules:
            self.range.restore(state.rules["range"])
        if self.rate and "rate" in state.rules:
            self.rate.restore(state.rules["rate"])
        if self.stale and "stale" in state.rules:
            self.stale.alarm.restore(state.rules["stale"])

    def _sorted_out(self, value: object, quality: int) -> tuple[bool, float | None]:
        """Whether this counts as a good value, and its number if it has one."""
        if value is None or quality >= _BAD or quality == Quality.UNCERTAIN_STALE:
            self._stats.readings_not_good += 1
            return False, None
        if isinstance(value, bool | str):
            if self.range or self.rate:
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
        if self.last_at_ns - at_ns <= SET_BACK_NS or at_ns < 0:  # late, or beyond AT_NS_MAX, or nonsense
            self._stats.readings_late += 1
            return False
        self._stats.clocks_set_back += 1
        if self.range:
            self.range.set_back(at_ns)
        if self.rate:
            self.rate.set_back(at_ns)
        return True

    def _add(self, found: list[Transition] | None, transition: Transition | None) -> list[Transition] | None:
        if transition is None:
            return found
        self.mark()
        return [*(found or ()), transition]


class Monitor:
    """Watches every tag that some rule fits, up to `tags_max` tags; further ones are refused and counted."""

    def __init__(self, book: RuleBook, *, tags_max: int, stats: AnomalyStats | None = None) -> None:
        self.stats = stats or AnomalyStats()
        self.tags = 0
        self._book = book
        self._tags_max = tags_max
        self._devices: dict[DeviceId, dict[str, TagWatch | None]] = {}
        self._silent: list[TagWatch] = []
        self._changed: list[TagWatch] = []
        self._raised: dict[str, Alert] = {}
        self._grace_ns = 0
        self._ticked_ns: int | None = None
        self._said_full = False

    @property
    def raised(self) -> tuple[Alert, ...]:
        """Alerts that are raised now."""
        return tuple(self._raised.values())

    def readings(self, device: DeviceId, readings: Sequence[Reading], now_ns: int) -> list[Alert]:
        """Take the readings of one frame, which arrived at `now_ns`; return what was raised or cleared."""
        alerts: list[Alert] = []
        tags = self._devices.get(device, {})
        self.stats.readings += len(readings)
        for reading in readings:
            tag = reading.tag
            watch = tags[tag] if tag in tags else self._new_tag(device, tags, tag, now_ns)
            if watch is None:
                continue
            transitions = watch.update(reading.at_ns, reading.value, reading.quality, now_ns)
            if transitions:
                alerts += [self._alert(watch, transition) for transition in transitions]
        return alerts

    def tick(self, now_ns: int, *, live: bool) -> list[Alert]:
        """Look for silent tags. While not `live` (no link, or history being read) none is blamed.

        Afterwards, and after the agent itself stood still, each tag has its full time again.
        """
        gap_ns = TICK_GAP_NS_MAX + 1 if self._ticked_ns is None else now_ns - self._ticked_ns
        self._ticked_ns = now_ns
        if not live or not 0 <= gap_ns <= TICK_GAP_NS_MAX:
            self._grace_ns = now_ns
            self.stats.graces += 1
            return []
        alerts = []
        for watch in self._silent:
            transition = watch.tick(now_ns, self._grace_ns)
            if transition:
                alerts.append(self._alert(watch, transition))
        return alerts

    def take_changes(self) -> list[TagState]:
        """What must be saved since the last call."""
        changed = [watch.snapshot() for watch in self._changed]
        for watch in self._changed:
            watch.is_changed = False
        self._changed.clear()
        return changed

    def restore(self, tags: Iterable[TagState], raised: Iterable[Alert], now_ns: int) -> list[Alert]:
        """Go on where a former run ended. Returns alerts to clear: their rule is configured no more."""
        for state in tags:
            watch = self._new_tag(state.device, self._devices.get(state.device, {}), state.tag, now_ns)
            if watch:
                watch.restore(state)
        self.take_changes()
        self._raised = {alert.fingerprint: alert for alert in raised}
        orphans = [alert for alert in self._raised.values() if not self._still_raised(alert)]
        return [self._clear_orphan(alert, now_ns) for alert in orphans]

    def _new_tag(self, device: DeviceId, tags: dict[str, TagWatch | None], tag: str, now_ns: int) -> TagWatch | None:
        if self.tags >= self._tags_max or not 0 < len(tag.encode(errors="replace")) <= TAG_BYTES_MAX:
            self._refuse(device, tag)
            return None
        rules = self._book.rules_for(device, tag)
        watch = None
        if not rules.is_empty:
            watch = TagWatch(device, tag, rules, changed=self._changed, stats=self.stats)
            watch.arrived_ns = now_ns
            watch.mark()
            if watch.stale:
                self._silent.append(watch)
        self.tags += 1
        self._devices.setdefault(device, tags)[tag] = watch
        return watch

    def _refuse(self, device: DeviceId, tag: str) -> None:
        self.stats.readings_refused += 1
        if not self._said_full:
            self._said_full = True
            log.warning(
                "tag refused: tags_max is reached, or the name is too long (said once)",
                extra={"tag": tag[:80], "device": str(device), "tags": self.tags, "tags_max": self._tags_max},
            )

    def _alert(self, watch: TagWatch, transition: Transition) -> Alert:
        evidence: tuple[Evidence, ...] = ()
        if transition.value is not None:
            evidence = (Evidence(watch.tag, transition.at_ns, transition.value, transition.limit),)
        alert = Alert(
            device=watch.device,
            tag=watch.tag,
            rule=transition.rule,
            cause=transition.cause,
            severity=transition.severity,
            state=AlertState.RAISED,
            raised_at_ns=transition.raised_at_ns,
            message=_bounded(f"{watch.tag} {transition.text}"),
            evidence=evidence,
        )
        if transition.change is Change.RAISED:
            self.stats.alerts_raised += 1
            self._raised[alert.fingerprint] = alert
            return alert
        # What was raised is what is cleared, even if the rule has been given another cause since.
        original = self._raised.pop(alert.fingerprint, alert)
        self.stats.alerts_cleared += 1
        return _cleared(original, transition.at_ns, alert.message, evidence)

    def _still_raised(self, alert: Alert) -> bool:
        watch = self._devices.get(alert.device, {}).get(alert.tag)
        alarm = watch.alarms().get(alert.rule) if watch else None
        return alarm is not None and alarm.is_raised

    def _clear_orphan(self, alert: Alert, now_ns: int) -> Alert:
        del self._raised[alert.fingerprint]
        self.stats.alerts_cleared += 1
        return _cleared(alert, now_ns, _bounded(f"{alert.tag}: the rule {alert.rule} is no longer configured"), ())


def _cleared(alert: Alert, at_ns: int, message: str, evidence: tuple[Evidence, ...]) -> Alert:
    return replace(
        alert,
        state=AlertState.CLEARED,
        cleared_at_ns=max(at_ns, alert.raised_at_ns),
        message=message,
        evidence=evidence,
    )


def _bounded(message: str) -> str:
    return message.encode(errors="replace")[:MESSAGE_BYTES_MAX].decode(errors="ignore")
