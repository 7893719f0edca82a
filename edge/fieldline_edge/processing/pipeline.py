"""The way of the readings of one device: derived tags, alarms, then the stages of each tag. Pure.

The order is fixed. A driver has scaled and judged the values; then come derived tags, then alarms (which see every
reading), then rate limit or windows, then deadband or door.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldline.model import Alert, DeviceId, Reading
from fieldline_edge.processing.alarms import Watch
from fieldline_edge.processing.derived import Derived
from fieldline_edge.processing.stage import Emit, ProcessingStats, Stage

__all__ = ["Pipeline", "TagWay", "Timed", "Timer"]


class Timed(Protocol):
    """Something that may have to act although nothing comes in."""

    due_at_s: float


@dataclass(slots=True, eq=False)
class Timer:
    """Something timed, and when the shell has been told to look at it."""

    item: Stage | Watch
    pipeline: "Pipeline"
    way: "TagWay"
    planned_s: float = float("inf")


@dataclass(slots=True, eq=False)
class TagWay:
    """What one tag goes through. Stages stand in the order in which readings pass them."""

    emit: Emit
    stages: tuple[Stage, ...] = ()
    watch: Watch | None = None
    timers: tuple[Timer, ...] = ()


class Pipeline:
    """Takes what a driver hands over; what comes out gathers in `readings` and `alerts`, for the shell to take.

    `due` gathers the timers that must be looked at earlier than planned. A tag without a way of its own passes as it
    came.
    """

    def __init__(self, device: DeviceId, *, derived: Derived | None, stats: ProcessingStats) -> None:
        self.device = device
        self.derived = derived
        self.ways: dict[str, TagWay] = {}
        self._simple: dict[str, Emit] = {}  # the beginning of those ways where nothing is timed or watched
        self.readings: list[Reading] = []
        self.alerts: list[Alert] = []
        self.due: list[Timer] = []
        self._stats = stats

    def out(self, reading: Reading, now_s: float) -> None:
        """The end of every way."""
        self.readings.append(reading)

    def add(self, tag: str, emit: Emit, stages: Sequence[Stage], timed: Iterable[Stage], watch: Watch | None) -> None:
        """Lay the way of a tag: `emit` is where it begins."""
        way = self.ways[tag] = TagWay(emit, tuple(stages), watch)
        items: list[Stage | Watch] = [*timed] if watch is None else [*timed, watch]
        way.timers = tuple(Timer(item, self, way) for item in items)
        if not items:
            self._simple[tag] = emit
        self._plan(way)

    def put(self, readings: Sequence[Reading], now_s: float) -> None:
        """Take readings in the order they were read."""
        stats = self._stats
        stats.readings += len(readings)
        if self.derived is not None:
            extended = self.derived.extend(readings)
            stats.derived += len(extended) - len(readings)
            readings = extended
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
            if way.watch is not None and (alerts := way.watch.put(reading, now_s)):
                self.alerts += alerts
            way.emit(reading, now_s)
            for timer in way.timers:
                if timer.item.due_at_s < timer.planned_s:
                    self.due.append(timer)

    def tick(self, timer: Timer, now_s: float, now_ns: int) -> None:
        """The moment of a timer has come."""
        if isinstance(timer.item, Watch):
            self.alerts += timer.item.tick(now_s, now_ns)
        else:
            timer.item.tick(now_s)
        self._plan(timer.way)

    def flush(self, now_s: float) -> None:
        """Let everything out that is held."""
        for way in self.ways.values():
            for stage in way.stages:
                stage.flush(now_s)

    def restore(self, raised: Mapping[str, Alert]) -> None:
        """Go on with alerts raised before a restart, by fingerprint."""
        for way in self.ways.values():
            if way.watch is not None:
                way.watch.restore(raised)

    def _plan(self, way: TagWay) -> None:
        self.due += [timer for timer in way.timers if timer.item.due_at_s < timer.planned_s]
