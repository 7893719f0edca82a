"""The way of the readings of one device: derived tags, alarms, then the stages of each tag. Pure.

The order is fixed. A driver has scaled and judged the values; then come features of waveforms, then derived tags, then
alarms and what is learned (which see every reading), then rate limit or windows, then deadband or door.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldline.model import Alert, DeviceId, Reading
from fieldline_edge.processing.anomaly import Running, Unusual
from fieldline_edge.processing.derived import Derived
from fieldline_edge.processing.stage import Emit, ProcessingStats, Stage
from fieldline_edge.processing.waveform.captures import Waveforms

__all__ = ["Pipeline", "TagWay", "Timed", "Timer", "Watcher"]


class Watcher(Protocol):
    """What raises alerts on one tag: `Watch` on limits and silence, `Unusual` on what is not as it was learned."""

    due_at_s: float
    """When `tick` has something to do; NEVER_S while nothing is pending."""

    @property
    def fingerprints(self) -> list[str]:
        """Of all alerts it may raise."""
        ...

    def put(self, reading: Reading, now_s: float) -> list[Alert] | None:
        """Judge a reading: alerts raised and cleared by it, or None."""
        ...

    def tick(self, now_s: float, now_ns: int) -> list[Alert]:
        """Judge that time has passed."""
        ...

    def restore(self, raised: Mapping[str, Alert]) -> None:
        """Go on with alerts that were raised before a restart, by fingerprint."""
        ...


class Timed(Protocol):
    """Something that may have to act although nothing comes in."""

    due_at_s: float


@dataclass(slots=True, eq=False)
class Timer:
    """Something timed, a stage or a watcher, and when the shell has been told to look at it."""

    item: Timed
    pipeline: "Pipeline"
    way: "TagWay"
    stage: Stage | None = None
    watcher: Watcher | None = None
    planned_s: float = float("inf")


@dataclass(slots=True, eq=False)
class TagWay:
    """What one tag goes through. Stages stand in the order in which readings pass them."""

    emit: Emit
    stages: tuple[Stage, ...] = ()
    watchers: tuple[Watcher, ...] = ()
    timers: tuple[Timer, ...] = ()


class Pipeline:
    """Takes what a driver hands over; what comes out gathers in `readings` and `alerts`, for the shell to take.

    `due` gathers the timers that must be looked at earlier than planned. A tag without a way of its own passes as it
    came.
    """

    def __init__(
        self,
        device: DeviceId,
        *,
        derived: Derived | None,
        stats: ProcessingStats,
        waveforms: Waveforms | None = None,
    ) -> None:
        self.device = device
        self.derived = derived
        self._waveforms = waveforms
        self.ways: dict[str, TagWay] = {}
        self._simple: dict[str, Emit] = {}  # the beginning of those ways where nothing is timed or watched
        self._running: dict[tuple[str, int], Running] = {}  # by tag and the time to settle
        self.readings: list[Reading] = []
        self.alerts: list[Alert] = []
        self.due: list[Timer] = []
        self._stats = stats

    def out(self, reading: Reading, now_s: float) -> None:
        """The end of every way."""
        self.readings.append(reading)

    def add(
        self, tag: str, emit: Emit, stages: Sequence[Stage], timed: Iterable[Stage], watchers: Sequence[Watcher]
    ) -> None:
        """Lay the way of a tag: `emit` is where it begins."""
        way = self.ways[tag] = TagWay(emit, tuple(stages), tuple(watchers))
        timers = [Timer(stage, self, way, stage=stage) for stage in timed]
        timers += [Timer(watcher, self, way, watcher=watcher) for watcher in watchers]
        way.timers = tuple(timers)
        if not timers:
            self._simple[tag] = emit
        self._plan(way)

    def running(self, tag: str, settle_ns: int) -> Running:
        """What tells by a tag of the device whether it runs; the same for all that ask the same."""
        return self._running.setdefault((tag, settle_ns), Running(settle_ns))

    @property
    def learners(self) -> list[tuple[str, Unusual]]:
        """(tag, what learns it), of those that are learned."""
        return [
            (tag, watcher) for tag, way in self.ways.items() for watcher in way.watchers if isinstance(watcher, Unusual)
        ]

    def put(self, readings: Sequence[Reading], now_s: float) -> None:
        """Take readings in the order they were read."""
        stats = self._stats
        stats.readings += len(readings)
        if self._waveforms is not None:
            readings = self._waveforms.extend(readings)
        if self.derived is not None:
            extended = self.derived.extend(readings)
            stats.derived += len(extended) - len(readings)
            readings = extended
        if self._running:
            self._look_who_runs(readings)
        simple, ways, passed = self._simple, self.ways, self.readings
        for reading in readings:
            emit = simple.get(reading.tag)
            if emit is not None:
                emit(reading, now_s)
                continue
            way = ways.get(reading.tag)
            if way is None:
                passed.append(reading)
                continue
            for watcher in way.watchers:
                if alerts := watcher.put(reading, now_s):
                    self.alerts += alerts
            way.emit(reading, now_s)
            for timer in way.timers:
                if timer.item.due_at_s < timer.planned_s:
                    self.due.append(timer)

    def tick(self, timer: Timer, now_s: float, now_ns: int) -> None:
        """The moment of a timer has come."""
        if timer.watcher is not None:
            self.alerts += timer.watcher.tick(now_s, now_ns)
        elif timer.stage is not None:
            timer.stage.tick(now_s)
        self._plan(timer.way)

    def flush(self, now_s: float) -> None:
        """Let everything out that is held."""
        for way in self.ways.values():
            for stage in way.stages:
                stage.flush(now_s)

    def restore(self, raised: Mapping[str, Alert]) -> None:
        """Go on with alerts raised before a restart, by fingerprint."""
        for way in self.ways.values():
            for watcher in way.watchers:
                watcher.restore(raised)

    def _look_who_runs(self, readings: Sequence[Reading]) -> None:
        """Before anything of the same look at the device is judged: a machine that has just stopped is not unusual."""
        for (tag, _), running in self._running.items():
            for reading in readings:
                if reading.tag == tag:
                    running.see(reading)

    def _plan(self, way: TagWay) -> None:
        self.due += [timer for timer in way.timers if timer.item.due_at_s < timer.planned_s]
