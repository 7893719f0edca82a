"""All alarms of the agent, and what people were told of each. Pure.

Alarms are grouped by tag, and a tag's alarms travel with its state: where a device goes, its alarms go with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fieldline.model import Alert, AlertState, DeviceId
from fieldline_cloud.agents.anomaly.alarms.chatter import ChatterSpec
from fieldline_cloud.agents.anomaly.alarms.record import AlarmRecord, bounded
from fieldline_cloud.agents.anomaly.stats import AnomalyStats

__all__ = ["AlarmBoard", "BoardSpec", "TagKey", "split_fingerprint"]

TagKey = tuple[DeviceId, str]
DESIGN: Final = "design"


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """What holds for all alarms."""

    chatter: ChatterSpec = field(default_factory=ChatterSpec)


class AlarmBoard:
    """Conditions, wishes and ticks in; alerts out. `changed` holds the tags that are to be saved."""

    def __init__(self, spec: BoardSpec, stats: AnomalyStats) -> None:
        self.changed: set[TagKey] = set()
        self._spec = spec
        self._stats = stats
        self._tags: dict[TagKey, dict[str, AlarmRecord]] = {}
        self._timed: dict[str, AlarmRecord] = {}

    def begin(self, alert: Alert, now_ns: int, *, latch: bool, learned: bool, suppressed: str = "") -> list[Alert]:
        """A condition begins, as `alert` says; `suppressed` says by what design it is put aside, if it is."""
        record = self.record(alert, learned=learned)
        if suppressed:
            record.suppressed_by[DESIGN] = suppressed
        return self._told(record, record.begin(alert, now_ns, latch=latch))

    def worsen(self, alert: Alert, now_ns: int) -> list[Alert]:
        """A condition that holds matters more than before."""
        record = self.record(alert)
        return self._told(record, record.worsen(alert, now_ns))

    def end(self, alert: Alert, at_ns: int, now_ns: int) -> list[Alert]:
        """A condition ends, with the words and the evidence of `alert`."""
        record = self.record(alert)
        return self._told(record, record.end(at_ns, alert.message, alert.evidence, now_ns))

    def suppress(self, key: TagKey, rule: str, words: str, now_ns: int) -> list[Alert]:
        """Put an alarm aside by design; nothing is told of one that is well."""
        record = self._tags.get(key, {}).get(rule)
        return [] if record is None else self._told(record, record.suppress(DESIGN, words, now_ns))

    def release(self, key: TagKey, now_ns: int) -> list[Alert]:
        """The design puts the alarms of this tag aside no more."""
        found: list[Alert] = []
        for record in self._tags.get(key, {}).values():
            if DESIGN in record.suppressed_by:
                found += self._told(record, record.release(DESIGN, now_ns))
        return found

    def tick(self, now_ns: int, *, live: bool) -> list[Alert]:
        """Time has passed: shelves expire, chatter is over."""
        found: list[Alert] = []
        for record in [*self._timed.values()]:
            found += self._told(record, record.tick(now_ns, live=live))
        return found

    def records(self) -> Iterator[AlarmRecord]:
        """Every alarm that was ever raised or put aside."""
        for records in self._tags.values():
            yield from records.values()

    def of_tag(self, key: TagKey) -> dict[str, AlarmRecord]:
        """The alarms of one tag by the name of their rule."""
        return self._tags.get(key, {})

    def forget(self, key: TagKey, rule: str, text: str, now_ns: int) -> list[Alert]:
        """There is no such alarm any more: clear what people were told of it."""
        record = self._tags[key].pop(rule)
        self._timed.pop(record.alert.fingerprint, None)
        self.changed.add(key)
        told = record.told
        if told is None or told.state is AlertState.CLEARED:
            return []
        record.shelf = record.service = None
        record.suppressed_by.clear()
        record.latch = record.chatter.is_on = False
        return self._counted(record.end(now_ns, bounded(text), (), now_ns))

    def snapshot(self, key: TagKey) -> dict[str, Any]:
        """What `restore` needs of one tag's alarms."""
        return {rule: record.snapshot() for rule, record in self._tags.get(key, {}).items()}

    def restore(self, key: TagKey, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        for rule, kept in snapshot.items():
            record = AlarmRecord.restored(kept, chatter=self._spec.chatter)
            self._tags.setdefault(key, {})[rule] = record
            self._look_timed(record)

    def adopt(self, told: Alert) -> None:
        """An alert that an earlier version published and kept nothing else of; no change if it is known."""
        if told.rule not in self.of_tag((told.device, told.tag)):
            self.record(told).adopt(told)

    def record(self, alert: Alert, *, learned: bool = False) -> AlarmRecord:
        """The record of the alarm that `alert` speaks of; a new one if it was never heard of."""
        records = self._tags.setdefault((alert.device, alert.tag), {})
        record = records.get(alert.rule)
        if record is None:
            record = records[alert.rule] = AlarmRecord(alert, chatter=self._spec.chatter, is_learned=learned)
        return record

    def _told(self, record: AlarmRecord, alerts: list[Alert]) -> list[Alert]:
        self.changed.add((record.alert.device, record.alert.tag))
        self._look_timed(record)
        return self._counted(alerts)

    def _look_timed(self, record: AlarmRecord) -> None:
        if record.is_timed:
            self._timed[record.alert.fingerprint] = record
        else:
            self._timed.pop(record.alert.fingerprint, None)

    def _counted(self, alerts: list[Alert]) -> list[Alert]:
        for alert in alerts:
            self._stats.alerts_raised += alert.state is AlertState.RAISED
            self._stats.alerts_cleared += alert.state is AlertState.CLEARED
        return alerts


def split_fingerprint(fingerprint: str) -> tuple[str, str, str] | None:
    """(device, tag, rule) of a fingerprint; None if it is none. A tag may hold colons, the others cannot."""
    device, _, rest = fingerprint.partition(":")
    tag, _, rule = rest.rpartition(":")
    return (device, tag, rule) if device and tag and rule else None
