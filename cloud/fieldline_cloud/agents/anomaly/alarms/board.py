"""All alarms of the agent, and what people were told of each. Pure.

Alarms are grouped by tag, and a tag's alarms travel with its state: where a device goes, its alarms go with it. What is
kept of an area travels with the tag `alarms` of a device `alarms` in it, which stands for the area.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fieldline.model import Alert, AlertState, DeviceId, Evidence
from fieldline_cloud.agents.anomaly.alarms.area import AREA_TAG, Area, FloodSpec
from fieldline_cloud.agents.anomaly.alarms.chatter import ChatterSpec
from fieldline_cloud.agents.anomaly.alarms.operators import OperatorSpec
from fieldline_cloud.agents.anomaly.alarms.record import AlarmRecord, bounded
from fieldline_cloud.agents.anomaly.state import Change
from fieldline_cloud.agents.anomaly.stats import AnomalyStats

__all__ = ["AlarmBoard", "BoardSpec", "TagKey", "split_fingerprint"]

TagKey = tuple[DeviceId, str]
DESIGN: Final = "design"
FLOOD: Final = "flood"


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """What holds for all alarms."""

    chatter: ChatterSpec = field(default_factory=ChatterSpec)
    flood: FloodSpec = field(default_factory=FloodSpec)
    shelve_ns_max: int = 24 * 3_600 * 1_000_000_000
    """How long an alarm may be shelved at most."""
    stale_ns: int = 24 * 3_600 * 1_000_000_000
    """An alarm that stands for longer is stale: nobody acts on it, or nothing can be done."""
    operators: tuple[OperatorSpec, ...] = ()
    """Who has which areas, for the figures."""


class AlarmBoard:
    """Conditions, wishes and ticks in; alerts out. `changed` holds the tags that are to be saved."""

    def __init__(self, spec: BoardSpec, stats: AnomalyStats) -> None:
        self.changed: set[TagKey] = set()
        self.spec = spec
        self.ticked_ns = 0
        self._stats = stats
        self._tags: dict[TagKey, dict[str, AlarmRecord]] = {}
        self._timed: dict[str, AlarmRecord] = {}
        self._areas: dict[TagKey, Area] = {}

    def begin(self, alert: Alert, now_ns: int, *, latch: bool, suppressed: str = "") -> list[Alert]:
        """A condition begins, as `alert` says; `suppressed` says by what design it is put aside, if it is."""
        record, area = self.record(alert), self._area(alert.device, now_ns)
        if suppressed:
            record.suppressed_by[DESIGN] = suppressed
        held = area.in_flood and alert.severity < self.spec.flood.notify and not record.is_standing
        if held:
            record.suppressed_by[FLOOD] = f"held back while alarms flood {area.name}"
        chattered = record.chatters
        found = self.told(record, record.begin(alert, now_ns, latch=latch))
        self._stats.alarms_chattered += record.chatters - chattered
        is_held = held and record.state is AlertState.SUPPRESSED and DESIGN not in record.suppressed_by
        if is_held:
            self._stats.alarms_held_back += 1
            record.unseen = latch  # nobody has seen it: it must not go unseen if it latches
        is_raised = is_held or any(told.state is AlertState.RAISED for told in found)
        if is_raised and area.leads(alert, now_ns):
            area.raised(alert.severity, now_ns)
            self.changed.add((area.device, AREA_TAG))
        return found + self._look_at(area, now_ns)

    def worsen(self, alert: Alert, now_ns: int) -> list[Alert]:
        """A condition that holds matters more than before."""
        record = self.record(alert)
        if alert.severity >= self.spec.flood.notify:
            record.suppressed_by.pop(FLOOD, None)
        return self.told(record, record.worsen(alert, now_ns))

    def end(self, alert: Alert, at_ns: int, now_ns: int) -> list[Alert]:
        """A condition ends, with the words and the evidence of `alert`."""
        record = self.record(alert)
        found = self.told(record, record.end(at_ns, alert.message, alert.evidence, now_ns))
        if not record.is_standing:
            record.suppressed_by.pop(FLOOD, None)
        return found

    def suppress(self, key: TagKey, rule: str, words: str, now_ns: int) -> list[Alert]:
        """Put an alarm aside by design; nothing is told of one that is well."""
        record = self._tags.get(key, {}).get(rule)
        return [] if record is None else self.told(record, record.suppress(DESIGN, words, now_ns))

    def release(self, key: TagKey, now_ns: int) -> list[Alert]:
        """The design puts the alarms of this tag aside no more."""
        found: list[Alert] = []
        for record in self._tags.get(key, {}).values():
            if DESIGN in record.suppressed_by:
                found += self.told(record, record.release(DESIGN, now_ns))
        return found

    def tick(self, now_ns: int, *, live: bool) -> list[Alert]:
        """Time has passed: shelves expire, chatter and floods are over."""
        self.ticked_ns = now_ns
        found: list[Alert] = []
        for record in [*self._timed.values()]:
            found += self.told(record, record.tick(now_ns, live=live))
        for area in self._areas.values():
            found += self._look_at(area, now_ns)
        return found

    def records(self) -> Iterator[AlarmRecord]:
        """Every alarm that was ever raised or put aside."""
        for records in [*self._tags.values()]:  # copied at once: metrics are read by another thread
            yield from [*records.values()]

    def areas(self) -> Iterator[Area]:
        """Every area in which something was raised."""
        yield from [*self._areas.values()]

    def of_tag(self, key: TagKey) -> dict[str, AlarmRecord]:
        """The alarms of one tag by the name of their rule."""
        return self._tags.get(key, {})

    def is_area(self, key: TagKey) -> bool:
        """Whether this tag stands for an area."""
        return key in self._areas

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
        """What `restore` needs of one tag: its alarms, and the figures of the area if the tag stands for one."""
        kept: dict[str, Any] = {}
        if alarms := self._tags.get(key):
            kept["alarms"] = {rule: record.snapshot() for rule, record in alarms.items()}
        if key in self._areas:
            kept["area"] = self._areas[key].snapshot()
        return kept

    def restore(self, key: TagKey, snapshot: dict[str, Any], now_ns: int) -> None:
        """Go on where `snapshot` was taken; other keys than those of `snapshot` are somebody else's."""
        for rule, kept in snapshot.get("alarms", {}).items():
            record = AlarmRecord.restored(kept, chatter=self.spec.chatter)
            self._tags.setdefault(key, {})[rule] = record
            self._look_timed(record)
        if "area" in snapshot:
            self._area(key[0], now_ns).restore(snapshot["area"])

    def drop(self, key: TagKey) -> None:
        """Know nothing of a tag's alarms any more, and tell nothing of that."""
        for record in self._tags.pop(key, {}).values():
            self._timed.pop(record.alert.fingerprint, None)
        self.changed.discard(key)

    def release_unflooded(self, records: Iterable[AlarmRecord], now_ns: int) -> list[Alert]:
        """Show what of `records` a flood held back that is over, or that is another process's matter."""
        flooded = {(area.device.site, area.device.area) for area in self._areas.values() if area.in_flood}
        held = [one for one in records if FLOOD in one.suppressed_by]
        free = [one for one in held if (one.alert.device.site, one.alert.device.area) not in flooded]
        return [told for one in free for told in self.told(one, one.release(FLOOD, now_ns))]

    def adopt(self, told: Alert) -> None:
        """An alert that an earlier version published and kept nothing else of; no change if it is known."""
        if told.rule not in self.of_tag((told.device, told.tag)):
            self.record(told).adopt(told)

    def record(self, alert: Alert) -> AlarmRecord:
        """The record of the alarm that `alert` speaks of; a new one if it was never heard of."""
        records = self._tags.setdefault((alert.device, alert.tag), {})
        record = records.get(alert.rule)
        if record is None:
            record = records[alert.rule] = AlarmRecord(alert, chatter=self.spec.chatter)
        return record

    def _area(self, device: DeviceId, now_ns: int) -> Area:
        key = (DeviceId(device.site, device.area, AREA_TAG), AREA_TAG)
        if key not in self._areas:
            self._areas[key] = Area(key[0], self.spec.flood, now_ns)
        return self._areas[key]

    def _look_at(self, area: Area, now_ns: int) -> list[Alert]:
        """Begin or end a flood, if it is time."""
        change = area.step(now_ns)
        if change is None:
            return []
        spec, count = self.spec.flood, area.last_10_min(now_ns)
        alert = Alert(
            device=area.device,
            tag=AREA_TAG,
            rule=FLOOD,
            cause=spec.cause,
            severity=spec.severity,
            state=AlertState.RAISED,
            raised_at_ns=area.raised_at_ns,
            message=f"{count} alarms were raised in {area.name} within 10 minutes",
            evidence=(Evidence(AREA_TAG, now_ns, float(count), float(spec.raisings)),),
        )
        record = self.record(alert)
        if change is Change.RAISED:
            self._stats.floods += 1
            return self.told(record, record.begin(alert, now_ns, counts=False))
        found = self.told(record, record.end(now_ns, alert.message, alert.evidence, now_ns))
        return found + self.release_unflooded(self.records(), now_ns)

    def told(self, record: AlarmRecord, alerts: list[Alert]) -> list[Alert]:
        """What something that happened to `record` has led to: it is counted, and will be saved."""
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
