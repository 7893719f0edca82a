"""Machines whose life is foretold by what was learned of others of their type. Pure.

A machine's history is a row of means for each step of its time. The first steps, its own beginning, and the newest ones
are kept; of those between only how many they were. Everything is decided by the readings and their own times.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from fieldline.model import DeviceId, Reading
from fieldline_cloud.agents.prognosis.forecaster import AHEAD_NS_MAX, Announcement, PrognosisStats
from fieldline_cloud.agents.tag_pattern import TagPattern
from fieldline_cloud.prognosis.features import BEGINNING, TAIL, Array
from fieldline_cloud.prognosis.learned import Life
from fieldline_cloud.prognosis.tags import Prognosis, prognosis_readings

__all__ = ["Fleet", "MachineState", "Machines"]

VALUE_MAX: Final = 1e15
"""A value beyond it, either way, is no measurement."""
Row = dict[str, tuple[float, int]]
"""Of one step, sum and count of the values of each tag."""


class Estimator(Protocol):
    """What is asked of a model: `LifeModel.life`."""

    def life(self, history: Array, *, skipped: int = 0) -> Life: ...


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines of one type: which devices they are, and what was learned from `failed` machines that ran to failure."""

    pattern: TagPattern
    tags: tuple[str, ...]
    model: Estimator
    failed: int
    step_s: float
    publish_as: str
    warmup: int
    new_since: Mapping[DeviceId, int] = field(default_factory=dict)
    """Unix nanoseconds at which a machine was new; others are taken to be new at their first reading."""


@dataclass(frozen=True, slots=True)
class MachineState:
    """What must be kept of a machine. `rows` are those that changed; rows from 20 on and before `first_kept` are over.

    `is_anew`: all rows that were kept before are over.
    """

    device: DeviceId
    begin_ns: int
    step_ns: int
    newest: int
    said_at_ns: int
    stands: bool
    first_kept: int
    rows: Mapping[int, Row]
    is_anew: bool = False


@dataclass(slots=True)
class _Machine:
    """One machine: when its first step began, its rows by step, and what was last said of it and whether it stands."""

    fleet: Fleet
    begin_ns: int
    newest: int = -1
    said_at_ns: int = 0
    stands: bool = False
    rows: dict[int, Row] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    is_anew: bool = True

    @property
    def step_ns(self) -> int:
        return round(self.fleet.step_s * 1e9)

    @property
    def first_kept(self) -> int:
        """The first step behind the beginning that is kept."""
        return max(BEGINNING, self.newest - TAIL)

    def add(self, tag: str, at_ns: int, value: float) -> None:
        """Take a value in its own step, also a late one, unless that step is over."""
        step = (at_ns - self.begin_ns) // self.step_ns
        if step < 0 or BEGINNING <= step < self.first_kept:
            return
        row = self.rows.setdefault(step, {})
        total, count = row.get(tag, (0.0, 0))
        row[tag] = (total + value, count + 1)
        self.changed.add(step)
        if step > self.newest:
            self.newest = step
            for over in [each for each in self.rows if BEGINNING <= each < self.first_kept]:
                del self.rows[over]
                self.changed.discard(over)

    def life(self) -> Life:
        """What remains after the last whole step, the one before the newest."""
        first = self.first_kept
        steps = [*range(min(BEGINNING, self.newest)), *range(first, self.newest)]
        history = np.full((len(steps), len(self.fleet.tags)), math.nan)
        for index, step in enumerate(steps):
            for column, tag in enumerate(self.fleet.tags):
                if cell := self.rows.get(step, {}).get(tag):
                    history[index, column] = cell[0] / cell[1]
        if first > BEGINNING:  # a tag that is long gone is not taken to be as it was in the beginning
            history[:, ~np.isfinite(history[BEGINNING:]).any(axis=0)] = math.nan
        return self.fleet.model.life(history, skipped=first - BEGINNING)

    def take_state(self, device: DeviceId) -> MachineState:
        """What must be kept since the last call."""
        rows = {step: dict(self.rows[step]) for step in sorted(self.changed)}
        anew, self.is_anew = self.is_anew, False
        self.changed.clear()
        facts = (self.begin_ns, self.step_ns, self.newest, self.said_at_ns, self.stands, self.first_kept)
        return MachineState(device, *facts, rows, anew)


class Machines:
    """Follows at most `machines_max` machines; says something of each at most every `publish_every_s` of its time."""

    def __init__(
        self,
        fleets: Sequence[Fleet],
        *,
        publish_every_s: float,
        machines_max: int,
        stats: PrognosisStats | None = None,
    ) -> None:
        self.stats = stats or PrognosisStats()
        self._fleets = fleets
        self._publish_every_ns = round(publish_every_s * 1e9)
        self._machines_max = machines_max
        self._machines: dict[DeviceId, _Machine] = {}
        self._changed: dict[DeviceId, None] = {}

    @property
    def followed(self) -> int:
        """Machines followed."""
        return len(self._machines)

    @property
    def standing(self) -> int:
        """Machines with a prognosis that has been published and not withdrawn."""
        return sum(machine.stands for machine in self._machines.values())

    def fleet_of(self, device: DeviceId) -> Fleet | None:
        """The type of a device: the first that matches."""
        return next((fleet for fleet in self._fleets if fleet.pattern.matches(device, fleet.publish_as)), None)

    def restore(self, states: Iterable[MachineState]) -> None:
        """Take up what a former run left; a machine that is new since then, or has other steps now, begins anew."""
        for kept in states:
            fleet = self.fleet_of(kept.device)
            if fleet is None:
                continue
            begin_ns = fleet.new_since.get(kept.device, kept.begin_ns)
            machine = _Machine(fleet, begin_ns, said_at_ns=kept.said_at_ns, stands=kept.stands)
            self._machines[kept.device] = machine
            if begin_ns == kept.begin_ns and machine.step_ns == kept.step_ns:
                machine.newest, machine.is_anew = kept.newest, False
                machine.rows = {step: dict(row) for step, row in kept.rows.items()}
            else:
                self._changed[kept.device] = None

    def take_changes(self) -> list[MachineState]:
        """What must be saved since the last call."""
        changed, self._changed = self._changed, {}
        return [self._machines[device].take_state(device) for device in changed]

    def readings(self, device: DeviceId, readings: Iterable[Reading], now_ns: int) -> list[Announcement]:
        """Take the readings of one frame; returns what is to be published because of them."""
        fleet = self.fleet_of(device)
        values = [] if fleet is None else self._good(fleet, readings, now_ns)
        if fleet is None or not values:
            return []
        machine = self._machines.get(device)
        if machine is None:
            if len(self._machines) >= self._machines_max:
                self.stats.machines_refused += 1
                return []
            machine = self._machines[device] = _begin(fleet, device, min(at_ns for _, at_ns, _ in values))
        before = machine.newest
        for tag, at_ns, value in values:
            machine.add(tag, at_ns, value)
        self._changed[device] = None
        return self._say(device, machine) if machine.newest > max(before, 0) else []

    def _good(self, fleet: Fleet, readings: Iterable[Reading], now_ns: int) -> list[tuple[str, int, float]]:
        """Tag, time and value of what can be counted."""
        found = []
        for reading in readings:
            if reading.tag not in fleet.tags:
                continue
            self.stats.readings += 1
            value = _number(reading)
            if not abs(value) <= VALUE_MAX:  # NaN as well
                self.stats.readings_not_good += 1
            elif reading.at_ns > now_ns + AHEAD_NS_MAX:
                self.stats.readings_ahead += 1
            else:
                found.append((reading.tag, reading.at_ns, value))
        return found

    def _say(self, device: DeviceId, machine: _Machine) -> list[Announcement]:
        """A step is whole: what remains from its end on."""
        at_ns = machine.begin_ns + machine.newest * machine.step_ns
        has_begun = machine.newest >= machine.fleet.warmup
        if not has_begun and not machine.stands:
            return []
        if has_begun and machine.stands and at_ns - machine.said_at_ns < self._publish_every_ns:
            return []
        prognosis = _prognosis(machine, at_ns) if has_begun else None
        self.stats.prognoses += has_begun
        self.stats.prognoses_withdrawn += not has_begun
        machine.stands, machine.said_at_ns = has_begun, at_ns
        return [Announcement(device, tuple(prognosis_readings(machine.fleet.publish_as, prognosis, at_ns)))]


def _number(reading: Reading) -> float:
    """The value, NaN where it is none or not good."""
    value = reading.value
    if isinstance(value, bool) or not isinstance(value, float | int) or not reading.quality.is_good:
        return math.nan
    return float(value)


def _begin(fleet: Fleet, device: DeviceId, first_ns: int) -> _Machine:
    step_ns = round(fleet.step_s * 1e9)
    return _Machine(fleet, fleet.new_since.get(device, first_ns // step_ns * step_ns))


def _prognosis(machine: _Machine, at_ns: int) -> Prognosis:
    life, step_h = machine.life(), machine.fleet.step_s / 3_600.0
    trend = f"{machine.newest} steps old; learned from {machine.fleet.failed} machines that failed"
    return Prognosis(life.p10 * step_h, life.p50 * step_h, life.p90 * step_h, trend=trend, at_ns=at_ns)
