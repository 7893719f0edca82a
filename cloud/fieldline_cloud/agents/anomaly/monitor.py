"""All tags under watch: readings, ticks and findings in, alerts out. Pure: no clock, no disk, no network.

What is kept of a tag across a restart is one `TagState`: its rules, its findings, and its alarms with all that people
have said of them. So a device moves to another process with its tags' states, and nothing else.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fieldline.errors import BadName, LimitError
from fieldline.model import Alert, AlertState, DeviceId, Evidence, Reading
from fieldline.wire.plant import TAG_BYTES_MAX, encode_alert
from fieldline_cloud.agents.anomaly.alarms.board import AlarmBoard, BoardSpec, TagKey
from fieldline_cloud.agents.anomaly.alarms.record import bounded
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.matching import RuleBook, RuleSet
from fieldline_cloud.agents.anomaly.rules.base import Transition
from fieldline_cloud.agents.anomaly.state import Change
from fieldline_cloud.agents.anomaly.stats import AnomalyStats
from fieldline_cloud.agents.anomaly.tag import AT_NS_MAX, TagState, TagWatch

__all__ = ["Monitor"]

log = logging.getLogger(__name__)

TICK_GAP_NS_MAX: Final = 5 * 1_000_000_000
"""Ticks further apart mean that the agent stood still or its clock jumped: silence is counted afresh."""


@dataclass(slots=True)
class _Device:
    """What is known of one device. A tag without a rule is None, so that it is looked up once."""

    tags: dict[str, TagWatch | None] = field(default_factory=dict)
    listened_to: dict[str, list[TagWatch]] = field(default_factory=dict)
    asleep: dict[str, TagWatch] = field(default_factory=dict)
    """Tags without a rule that can be suppressed: they hear the condition, for the finding that may come."""
    waiting: list[TagWatch] = field(default_factory=list)
    """Tags whose suppression ends when time passes."""


class Monitor:
    """Watches every tag that some rule fits, up to `tags_max` tags; further ones are refused and counted."""

    def __init__(
        self, book: RuleBook, *, tags_max: int, stats: AnomalyStats | None = None, board: BoardSpec | None = None
    ) -> None:
        self.stats = stats or AnomalyStats()
        self.tags = 0
        self.board = AlarmBoard(board or BoardSpec(), self.stats)
        self._book = book
        self._tags_max = tags_max
        self._devices: dict[DeviceId, _Device] = {}
        self._silent: list[TagWatch] = []
        self._changed: list[TagWatch] = []
        self._grace_ns = 0
        self._ticked_ns: int | None = None
        self._said_full = False

    @property
    def raised(self) -> tuple[Alert, ...]:
        """What people see as raised now, acknowledged or not."""
        told = (record.told for record in self.board.records())
        return tuple(alert for alert in told if alert is not None and alert.state.is_active)

    def readings(self, device: DeviceId, readings: Sequence[Reading], now_ns: int) -> list[Alert]:
        """Take the readings of one frame, which arrived at `now_ns`; return what is to be told."""
        alerts: list[Alert] = []
        place = self._devices.get(device)
        if place is None:
            place = _Device()  # it is kept with its first tag
        tags = place.tags
        self.stats.readings += len(readings)
        for reading in readings:
            tag = reading.tag
            watch = tags[tag] if tag in tags else self._new_tag(device, place, tag, now_ns)
            if watch is None:
                continue
            if watch.listeners or place.waiting:
                alerts += self._suppress(place, watch, reading, now_ns)
            transitions = watch.update(reading.at_ns, reading.value, reading.quality, now_ns)
            if transitions:
                for transition in transitions:
                    alerts += self._tell(watch, transition, now_ns)
        return alerts

    def judge(self, finding: Finding, now_ns: int) -> list[Alert]:
        """Take what a learned detector found; return what is to be told.

        Its score is judged as a value is by a limit: 1 and more raises, `finding.rest` and less clears, with its
        delays. Shelving, suppression and acknowledgement hold for it as for any alarm. A NaN, a moment from another
        age, or a rule or cause that is no name is refused and counted.
        """
        self.stats.findings += 1
        place = self._devices.get(finding.device) or _Device()
        watch = place.tags.get(finding.tag)
        if watch is None and _is_sound(finding):
            watch = self._new_tag(finding.device, place, finding.tag, now_ns, needed=True)
        if watch is None or not _is_sound(finding):
            self.stats.findings_refused += 1
            return []
        transition = watch.judge(finding)
        return [] if transition is None else self._tell(watch, transition, now_ns, learned=True)

    def drop_findings(self, known: frozenset[str], now_ns: int) -> list[Alert]:
        """Clear the alarms of learned detectors whose rule is not `known`: they are configured no more."""
        alerts: list[Alert] = []
        for place in self._devices.values():
            for watch in place.tags.values():
                for rule in [] if watch is None else [rule for rule in watch.findings if rule not in known]:
                    assert watch is not None
                    del watch.findings[rule]
                    watch.mark()
                    if rule in self.board.of_tag((watch.device, watch.tag)):
                        alerts += self._forget(watch.device, watch.tag, rule, now_ns)
        return alerts

    def tick(self, now_ns: int, *, live: bool) -> list[Alert]:
        """Look for silent tags, and for what time alone ends. While not `live` (no link, or history being read) no tag
        is blamed. Afterwards, and after the agent itself stood still, each tag has its full time again.
        """
        gap_ns = TICK_GAP_NS_MAX + 1 if self._ticked_ns is None else now_ns - self._ticked_ns
        self._ticked_ns = now_ns
        is_quiet = live and 0 <= gap_ns <= TICK_GAP_NS_MAX
        alerts = self.board.tick(now_ns, live=is_quiet)
        if not is_quiet:
            self._grace_ns = now_ns
            self.stats.graces += 1
            return alerts
        for watch in self._silent:
            transition = watch.tick(now_ns, self._grace_ns)
            if transition:
                alerts += self._tell(watch, transition, now_ns)
        return alerts

    def take_changes(self) -> list[TagState]:
        """What must be saved since the last call."""
        changed: list[TagState] = []
        for device, tag in self.board.changed:
            watch = self.watch_of(device, tag)
            if watch is not None:
                watch.mark()
            else:  # it stands for an area
                changed.append(TagState(device, tag, 0, self.board.snapshot((device, tag))))
        self.board.changed.clear()
        changed += [watch.snapshot(self.board.snapshot((watch.device, watch.tag))) for watch in self._changed]
        for watch in self._changed:
            watch.is_changed = False
        self._changed.clear()
        return changed

    def restore(self, tags: Iterable[TagState], raised: Iterable[Alert], now_ns: int) -> list[Alert]:
        """Go on where a former run ended. Returns what is to be told: of rules and conditions configured no more.

        `raised` is what an earlier version kept of alarms; all that is known of them now is in `tags`.
        """
        keys: dict[TagKey, None] = {}
        for state in tags:
            keys[state.device, state.tag] = None
            self.board.restore((state.device, state.tag), state.rules, now_ns)
            if "area" in state.rules:
                continue
            needed = "alarms" in state.rules or "findings" in state.rules
            place = self._devices.get(state.device) or _Device()
            watch = self._new_tag(state.device, place, state.tag, now_ns, needed=needed)
            watch = watch or place.asleep.get(state.tag)
            if watch:
                watch.restore(state)
                if watch.suppression and watch.suppression.may_end:
                    place.waiting.append(watch)
        for alert in raised:
            keys[alert.device, alert.tag] = None
            self.board.adopt(alert)
        self.take_changes()
        records = [record for key in keys for record in self.board.of_tag(key).values()]
        orphans = [record.alert for record in records if self._is_orphan(record.alert, record.condition)]
        alerts = [told for alert in orphans for told in self._forget(alert.device, alert.tag, alert.rule, now_ns)]
        for key in keys:
            watch = self.watch_of(*key)
            if watch is None or watch.suppression is None or not watch.suppression.is_on:
                alerts += self.board.release(key, now_ns)  # what suppressed it is configured no more
        return alerts + self.board.release_unflooded(records, now_ns)

    def states_of(self, device: DeviceId) -> list[TagState]:
        """All that is known of a device, as `restore` takes it."""
        place = self._devices.get(device)
        watches = [watch for watch in place.tags.values() if watch is not None] if place else []
        return [watch.snapshot(self.board.snapshot((device, watch.tag))) for watch in watches]

    def release(self, device: DeviceId) -> None:
        """Know nothing of a device any more, and tell nothing of that: another process watches it."""
        place = self._devices.pop(device, None)
        if place is None:
            return
        self.tags -= len(place.tags)
        for tag in place.tags:
            self.board.drop((device, tag))
        self._silent = [watch for watch in self._silent if watch.device != device]
        self._changed[:] = [watch for watch in self._changed if watch.device != device]  # the list all watches know

    def tags_of(self, device: DeviceId) -> Mapping[str, TagWatch | None]:
        """The tags of a device that were heard of; None for one without a rule."""
        place = self._devices.get(device)
        return place.tags if place else {}

    def watch_of(self, device: DeviceId, tag: str) -> TagWatch | None:
        """The watch over a tag; None if it is not known or no rule fits it."""
        place = self._devices.get(device)
        return place.tags.get(tag) if place else None

    def _new_tag(
        self, device: DeviceId, place: _Device, tag: str, now_ns: int, *, needed: bool = False
    ) -> TagWatch | None:
        """Begin to watch a tag; None if no rule fits it, nobody listens to it and it is not `needed`."""
        if self.tags >= self._tags_max or not 0 < len(tag.encode(errors="replace")) <= TAG_BYTES_MAX:
            self._refuse(device, tag)
            return None
        rules = self._book.rules_for(device, tag)
        watch = None
        if not rules.is_empty or needed or tag in place.listened_to:
            watch = place.asleep.pop(tag, None) or self._watch(device, place, tag, rules, now_ns)
        elif rules.suppress_while is not None:
            place.asleep[tag] = self._watch(device, place, tag, rules, now_ns)
        self.tags += tag not in place.tags
        place.tags[tag] = watch
        self._devices[device] = place
        return watch

    def _watch(self, device: DeviceId, place: _Device, tag: str, rules: RuleSet, now_ns: int) -> TagWatch:
        watch = TagWatch(device, tag, rules, changed=self._changed, stats=self.stats)
        watch.arrived_ns = now_ns
        watch.mark()
        if watch.stale:
            self._silent.append(watch)
        watch.listeners = place.listened_to.setdefault(tag, [])
        for other in watch.listens_to:
            place.listened_to.setdefault(other, []).append(watch)
            if place.tags.get(other, watch) is None:  # it was of no interest until now
                asleep = place.asleep.pop(other, None)
                place.tags[other] = asleep or self._watch(device, place, other, RuleSet(), now_ns)
        return watch

    def _refuse(self, device: DeviceId, tag: str) -> None:
        self.stats.readings_refused += 1
        if not self._said_full:
            self._said_full = True
            log.warning(
                "tag refused: tags_max is reached, or the name is too long (said once)",
                extra={"tag": tag[:80], "device": str(device), "tags": self.tags, "tags_max": self._tags_max},
            )

    def _suppress(self, place: _Device, heard: TagWatch, reading: Reading, now_ns: int) -> list[Alert]:
        """Tell who listens to a tag what it says, and end what time has ended."""
        alerts: list[Alert] = []
        if 0 <= reading.at_ns <= AT_NS_MAX:
            for watch in [*place.waiting]:
                if watch.suppression and watch.suppression.pass_to(reading.at_ns):
                    watch.mark()
                    alerts += self.board.release((watch.device, watch.tag), now_ns)
        for watch in heard.listeners:
            suppression = watch.suppression
            if watch.hear(heard.tag, reading) and suppression is not None:
                alerts += self._switch(watch, now_ns)
        place.waiting = [
            watch
            for watch in dict.fromkeys([*place.waiting, *heard.listeners])
            if watch.suppression and watch.suppression.may_end
        ]
        return alerts

    def _switch(self, watch: TagWatch, now_ns: int) -> list[Alert]:
        key = (watch.device, watch.tag)
        assert watch.suppression is not None
        if not watch.suppression.is_on:
            return self.board.release(key, now_ns)
        rules = [rule for rule in self.board.of_tag(key) if watch.suppresses(rule)]
        words = watch.suppression.spec.words
        return [alert for rule in rules for alert in self.board.suppress(key, rule, words, now_ns)]

    def _tell(self, watch: TagWatch, transition: Transition, now_ns: int, *, learned: bool = False) -> list[Alert]:
        evidence: tuple[Evidence, ...] = ()
        if transition.value is not None:
            evidence = (Evidence(watch.tag, transition.at_ns, transition.value, transition.limit),)
        text = transition.text if learned else f"{watch.tag} {transition.text}"
        alert = Alert(
            device=watch.device,
            tag=watch.tag,
            rule=transition.rule,
            cause=transition.cause,
            severity=transition.severity,
            state=AlertState.RAISED,
            raised_at_ns=transition.raised_at_ns,
            message=bounded(text),
            evidence=evidence,
            confidence=transition.confidence,
            window=transition.window,
            band=transition.band,
            contributions=transition.contributions,
        )
        if transition.change is Change.CLEARED:
            return self.board.end(alert, transition.at_ns, now_ns)
        if transition.change is Change.WORSENED:
            return self.board.worsen(alert, now_ns)
        suppression, words = watch.suppression, ""
        if suppression is not None and suppression.is_on and watch.suppresses(transition.rule):
            words = suppression.spec.words
        return self.board.begin(alert, now_ns, latch=transition.latch, suppressed=words)

    def _is_orphan(self, alert: Alert, condition: bool) -> bool:
        """Whether the rule of an alarm is gone, or no longer says what was told."""
        if self.board.is_area((alert.device, alert.tag)):
            return False
        watch = self.watch_of(alert.device, alert.tag)
        alarm = watch.alarms().get(alert.rule) if watch else None
        return alarm is None or (condition and not alarm.is_raised)

    def _forget(self, device: DeviceId, tag: str, rule: str, now_ns: int) -> list[Alert]:
        text = f"{tag}: the rule {rule} is no longer configured"
        return self.board.forget((device, tag), rule, text, now_ns)


def _is_sound(finding: Finding) -> bool:
    """Whether an alert can be made of it: what no receiver would take is refused here, not stuck in the outbox."""
    if finding.score != finding.score or not 0 <= finding.at_ns <= AT_NS_MAX:
        return False
    alert = Alert(
        finding.device,
        finding.tag,
        finding.rule,
        finding.cause,
        finding.severity,
        AlertState.RAISED,
        raised_at_ns=1,
        message=bounded(finding.message),
        confidence=finding.confidence,
        window=finding.window,
        contributions=finding.contributions,
    )
    try:
        encode_alert(alert)
    except (BadName, LimitError):
        return False
    return True
