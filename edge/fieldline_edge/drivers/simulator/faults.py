"""The faults of one machine over time: when each acts, how bad it is, and what it does to a sensor. Pure.

Three families. Wear changes the condition of a machine, and physics does the rest. Sensor faults change what
is told and leave the truth alone. Link faults silence the device. None draws from the machine's random numbers (noise
has numbers of its own), so that every signal a fault does not move stays bit for bit what it would have been.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import floor
from random import Random

from fieldline_edge.drivers.simulator.kinds import CONDITIONS, FaultKind
from fieldline_edge.drivers.simulator.machines import Condition
from fieldline_edge.drivers.simulator.signals import Signal, SignalValue
from fieldline_edge.drivers.simulator.truth import Growth, intensity

__all__ = ["Change", "Fault", "FaultEvent", "growth_of", "worn"]

_SPIKE_SHARE_OF_RANGE = 0.4
_DRIFT_SHARE_OF_RANGE = 0.1
_NOISE_TIMES = 10.0
_NOISE_SHARE_OF_RANGE = 0.01  # for a sensor without noise of its own
_EPSILON_S = 1e-9  # step sums carry binary dust; without this a fault could start one step late


class Change(Enum):
    """What may happen to a fault in one step."""

    START = "start"
    FAILURE = "failure"
    STOP = "stop"


def growth_of(kind: FaultKind) -> Growth:
    """How a fault of that kind grows: wear of a bearing feeds itself, sensor and link faults are there at once."""
    if kind is FaultKind.BEARING_WEAR:
        return Growth.EXPONENTIAL
    return Growth.LINEAR if kind in CONDITIONS or kind in (FaultKind.DRIFT, FaultKind.NOISE) else Growth.STEP


@dataclass(slots=True)
class Fault:
    """One fault on one machine. `stop_s` None: it stays for ever. Times are plant time in seconds.

    Severity 1 is the full fault. Wear grows over `grow_s` and then stays, or ends in a failure if it `fails`; a spike
    lasts `width_s` and comes back every `every_s`. `number` tells the faults of a plant apart.
    """

    number: int
    kind: FaultKind
    start_s: float
    stop_s: float | None
    grow_s: float
    severity: float
    signals: tuple[str, ...]
    random: Random
    signal: Signal | None = None
    every_s: float = 5.0
    width_s: float = 0.5
    fails: bool = False
    active: bool = False
    failed: bool = False
    _held: SignalValue | None = None

    @property
    def failure_s(self) -> float | None:
        """When the machine fails of it; None if it never does."""
        failure_s = self.start_s + self.grow_s
        over = self.stop_s is not None and self.stop_s <= failure_s
        return None if not self.fails or over else failure_s

    @property
    def growth(self) -> Growth:
        """The shape of its growth."""
        return growth_of(self.kind)

    def over(self, now_s: float) -> bool:
        """Whether it is past and will not come back."""
        return self.stop_s is not None and now_s + _EPSILON_S >= self.stop_s

    def due(self, now_s: float) -> bool:
        """Whether its time has come."""
        return now_s + _EPSILON_S >= self.start_s

    def update(self, now_s: float) -> list[Change]:
        """Become active, fail or stop as of `now_s`; what of that happened."""
        changes: list[Change] = []
        before = self.active
        self.active = self.due(now_s) and not self.over(now_s)
        if self.active and not before:
            changes.append(Change.START)
        failure_s = self.failure_s
        if self.active and not self.failed and failure_s is not None and now_s + _EPSILON_S >= failure_s:
            self.failed = True
            changes.append(Change.FAILURE)
        if before and not self.active:
            self._held = None
            changes.append(Change.STOP)
        return changes

    def wear(self, condition: Condition, now_s: float) -> None:
        """Put this fault's share into `condition`; faults of one kind do not add up, the worst counts."""
        field = CONDITIONS.get(self.kind)
        if field is not None:
            setattr(condition, field, max(getattr(condition, field), self._intensity(now_s)))
            condition.seized = condition.seized or self.failed

    def distort(self, told: SignalValue, now_s: float) -> SignalValue:
        """What the sensor tells instead of `told`."""
        assert self.signal is not None
        if self.kind is FaultKind.STUCK:
            if self._held is None:
                self._held = told
            return self._held
        span = self.signal.high - self.signal.low
        if self.kind is FaultKind.NOISE:
            deviation = _NOISE_TIMES * self.signal.noise or _NOISE_SHARE_OF_RANGE * span
            return self.signal.tell(float(told) + self.random.gauss(0.0, deviation) * self._intensity(now_s))
        if self.kind is FaultKind.DRIFT:
            return self.signal.tell(float(told) + _DRIFT_SHARE_OF_RANGE * span * self._intensity(now_s))
        since_s = now_s + _EPSILON_S - self.start_s
        if since_s % self.every_s >= self.width_s:
            return told
        sign = -1.0 if floor(since_s / self.every_s) % 2 else 1.0
        return self.signal.tell(float(told) + sign * self.severity * _SPIKE_SHARE_OF_RANGE * span)

    def _intensity(self, now_s: float) -> float:
        return intensity(self.growth, now_s - self.start_s, grow_s=self.grow_s, severity=self.severity)


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """Something happened to a fault of a machine, `at_s` after the start of the run."""

    change: Change
    fault: Fault
    machine: str
    area: str
    at_s: float


def worn(faults: Iterable[Fault], now_s: float) -> Condition:
    """The condition that the active ones of `faults` leave a machine in."""
    condition = Condition()
    for fault in faults:
        if fault.active:
            fault.wear(condition, now_s)
    return condition
