"""The whole agent without hub, disk and clock: frames, ticks and verdicts in, alerts out. Pure.

The shell runs it beside a hub; benches and tests run it on whatever they have. Rules judge every reading at once; what
is learned waits until there is a batch worth it, a tick or a save, so `readings` may tell of a frame with a later call.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final

from fieldline.model import Alert, AlertState, DeviceId, Reading, Verdict, VerdictKind
from fieldline.wire.readings import Series, readings_of
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.learned.columns import series_of
from fieldline_cloud.agents.anomaly.learned.layer import Learned
from fieldline_cloud.agents.anomaly.learned.signs import REST
from fieldline_cloud.agents.anomaly.learned.stats import LearnStats, Tally
from fieldline_cloud.agents.anomaly.learned.thresholds import Outcome, Raising, Thresholds, Tuned
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.stats import AnomalyStats

__all__ = ["LearnedState", "Watch"]

BATCH_READINGS: Final = 16_384
"""So many readings are scored at once, without waiting for a tick: what is pending is bounded."""
GATHER_NS: Final = 60 * 1_000_000_000
"""How long readings wait at most for others to be scored with, as far as ticks come."""
_AT_NS: Final = attrgetter("at_ns")
_TAG: Final = attrgetter("tag")


@dataclass(frozen=True, slots=True)
class LearnedState:
    """What is kept of one device's learning across a restart, and handed over to another member."""

    device: DeviceId
    snapshot: dict[str, Any]


class Watch:
    """Rules and learned detectors over all tags, with one state for each alarm."""

    def __init__(self, settings: AnomalySettings) -> None:
        self.stats = AnomalyStats()
        self.learn_stats = LearnStats()
        self.tally = Tally()
        self.thresholds = Thresholds()
        self.monitor = Monitor(
            settings.rule_book(), tags_max=settings.tags_max, stats=self.stats, board=settings.alarms.build()
        )
        self.learned: Learned | None = None
        if settings.learn.enabled:
            learned = settings.learn.build(settings.tags_max)
            self.learned = Learned(learned, self.thresholds, self.tally, self.learn_stats)
        self._pending_since_ns: int | None = None
        self._urgent: dict[DeviceId, None] = {}

    def readings(self, device: DeviceId, readings: Sequence[Reading], now_ns: int) -> list[Alert]:
        """Take readings of one device, which arrived at `now_ns`; return what is to be told."""
        alerts = self.monitor.readings(device, sorted(readings, key=_AT_NS), now_ns)
        return alerts + self._learn(device, series_of(readings), now_ns)

    def frame(self, device: DeviceId, frame: Sequence[Series], now_ns: int) -> list[Alert]:
        """As `readings`, from columns: tags without rules cost no Python object for each reading."""
        known = self.monitor.tags_of(device)
        tags = list(map(_TAG, frame))
        told = list(map(known.get, tags, tags))  # a new tag stands for itself: the monitor decides about it
        alerts: list[Alert] = []
        if told.count(None) < len(told):
            ruled = [series for series, one in zip(frame, told, strict=True) if one is not None]
            readings = sorted(readings_of(ruled), key=_AT_NS)
            alerts = self.monitor.readings(device, readings, now_ns)
        return alerts + self._learn(device, frame, now_ns)

    def tick(self, now_ns: int, *, live: bool = True) -> list[Alert]:
        """Look for silent tags, and score what has waited long enough; return what is to be told.

        `live` is False while silence means nothing: no link, or history being read.
        """
        alerts = self.monitor.tick(now_ns, live=live)
        since_ns = self._pending_since_ns
        if since_ns is None or 0 <= now_ns - since_ns < GATHER_NS:
            return alerts
        return alerts + self.flush(now_ns)

    def flush(self, now_ns: int) -> list[Alert]:
        """Score all that waits; return what is to be told. Whoever saves, flushes first."""
        self._pending_since_ns = None
        if self.learned is None:
            return []
        alerts = [alert for finding in self.learned.flush(now_ns) for alert in self._judge(finding, now_ns)]
        for alert in alerts:
            self._urgent[alert.device] = None
        return alerts

    def verdict(self, verdict: Verdict, now_ns: int) -> Outcome:
        """Let a person's verdict move the threshold of the alarm it is about; say what became of it."""
        outcome = self.thresholds.apply(verdict, now_ns)
        self.learn_stats.verdicts += 1
        if outcome.refusal is not None:
            self.learn_stats.verdicts_refused += outcome.refusal.is_suspect
        self.learn_stats.thresholds_raised += outcome.after > outcome.before
        self.learn_stats.thresholds_lowered += outcome.after < outcome.before
        if outcome.counts:
            detector = self.thresholds.detector_of(verdict.alert_id)
            self.tally.confirmed[detector] += verdict.kind is VerdictKind.CONFIRMED
            self.tally.refuted[detector] += verdict.kind is VerdictKind.FALSE_ALARM
        return outcome

    def relearn(self, device: DeviceId, tag: str = "") -> bool:
        """Learn a device, or one tag of it, anew. False if it is not known."""
        return self.learned is not None and self.learned.relearn(device, tag)

    def take_learned(self, share: float) -> list[LearnedState]:
        """What was learned and is to be saved: of devices with an alert, and of a share of the others, by their age.

        Flush first: readings that wait are no part of it.
        """
        if self.learned is None:
            return []
        devices_max = math.ceil(self.learned.changed * share)
        devices = dict.fromkeys([*self._urgent, *self.learned.take_changed(devices_max)])
        self._urgent.clear()
        return [LearnedState(device, self.snapshot(device)) for device in devices if self.learned.knows(device)]

    def snapshot(self, device: DeviceId) -> dict[str, Any]:
        """What was learned of a device, and what people have said of it: what `adopt` takes."""
        assert self.learned is not None, "nothing is learned"
        return {**self.learned.snapshot(device), "verdicts": self.thresholds.of_device(str(device))}

    def restore(
        self,
        states: Iterable[LearnedState],
        tuned: Iterable[Tuned],
        raisings: Sequence[Raising],
        said: Iterable[tuple[str, int]] = (),
    ) -> int:
        """Go on with what a former run has learned, after the monitor was restored. The number of states refused."""
        self.thresholds.restore(tuned, raisings, said)
        for raising in raisings:
            self.tally.raised[raising.detector] += 1
            self.tally.confirmed[raising.detector] += raising.kind is VerdictKind.CONFIRMED
            self.tally.refuted[raising.detector] += raising.kind is VerdictKind.FALSE_ALARM
        return sum(not self.adopt(state.device, state.snapshot) for state in states)

    def reconcile(self, now_ns: int) -> list[Alert]:
        """After a restore: clear what stands raised and no detector knows of any more; return what is to be told."""
        known = frozenset() if self.learned is None else self.learned.rules
        alerts = self.monitor.drop_findings(known, now_ns)
        for record in [record for record in self.monitor.board.records() if record.alert.rule in known]:
            alert = record.alert
            if self.learned is not None and not self.learned.is_raised(alert.device, alert.tag, alert.rule):
                alerts += self.monitor.judge(_over(alert, now_ns), now_ns)
        return alerts

    def adopt(self, device: DeviceId, snapshot: Mapping[str, Any]) -> bool:
        """Go on with a device where another left it. False, and the device is learned anew, if it is not to be used."""
        if self.learned is None:
            return False
        try:
            self.learned.restore(device, snapshot)
            self.thresholds.adopt(snapshot["verdicts"])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            self.learn_stats.learned_states_refused += 1
            return False
        return True

    def release(self, device: DeviceId) -> None:
        """Know nothing of a device any more, and tell nothing of that: another member watches it."""
        self.monitor.release(device)
        self._urgent.pop(device, None)
        if self.learned is not None:
            self.learned.forget(device)

    def gauges(self) -> dict[str, Callable[[], int]]:
        """What to show of the learned layer, besides its counters: by name, read when somebody asks."""
        learned = self.learned
        if learned is None:
            return {}
        shown: dict[str, Callable[[], int]] = {
            "learned_series": lambda: learned.series,
            "learned_devices": lambda: learned.devices,
            "learned_episodes": lambda: learned.episodes,
            "learned_readings_pending": lambda: learned.pending,
            "thresholds_moved": lambda: len(self.thresholds),
        }
        for rule in sorted(learned.rules):
            for what, counts in (
                ("raised", self.tally.raised),
                ("confirmed", self.tally.confirmed),
                ("false_alarms", self.tally.refuted),
            ):
                shown[f"detector_{rule}_{what}"] = partial(counts.__getitem__, rule)
        return shown

    def _learn(self, device: DeviceId, frame: Sequence[Series], now_ns: int) -> list[Alert]:
        if self.learned is None:
            return []
        self.learned.take(device, frame)
        if self._pending_since_ns is None:
            self._pending_since_ns = now_ns
        return self.flush(now_ns) if self.learned.pending >= BATCH_READINGS else []

    def _judge(self, finding: Finding, now_ns: int) -> list[Alert]:
        alerts = self.monitor.judge(finding, now_ns)
        for alert in alerts:
            if alert.state is AlertState.RAISED and alert.rule == finding.rule:
                self.tally.raised[alert.rule] += self.thresholds.raised(alert)
        return alerts


def _over(alert: Alert, now_ns: int) -> Finding:
    message = f"{alert.tag} is learned anew"
    rule, cause, severity = alert.rule, alert.cause, alert.severity
    at_ns = max(now_ns, alert.raised_at_ns)
    return Finding(alert.device, alert.tag, rule, cause, severity, at_ns, 0.0, REST, 0.0, message)
