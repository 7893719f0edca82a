"""The fault library: what can go wrong with a machine, its sensors and its link, and what that moves. Pure.

Three families. Wear changes the condition of a machine, and physics does the rest. Sensor faults change what
is told and leave the truth alone. Link faults silence the device. None draws a random number, so that every
signal a fault does not move stays bit for bit what it would have been.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import expm1, floor

from fieldline_edge.drivers.simulator.machines import MODELS, Condition
from fieldline_edge.drivers.simulator.signals import Form, Signal, SignalValue

__all__ = ["SENSOR_KINDS", "Fault", "FaultEvent", "FaultKind", "moved_signals", "worn"]

_WEAR_STEEPNESS = 4.0
_SPIKE_SHARE_OF_RANGE = 0.4
_DRIFT_SHARE_OF_RANGE = 0.1
_EPSILON_S = 1e-9  # step sums carry binary dust; without this a fault could start one step late


class FaultKind(Enum):
    """What can be asked for in the `faults:` of a plant."""

    BEARING_WEAR = "bearing_wear"
    IMBALANCE = "imbalance"
    LEAK = "leak"
    CLOGGED_FILTER = "clogged_filter"
    STUCK = "stuck"
    SPIKE = "spike"
    DRIFT = "drift"
    DROPOUT = "dropout"


SENSOR_KINDS = frozenset({FaultKind.STUCK, FaultKind.SPIKE, FaultKind.DRIFT})

_CONDITION_FIELD = {
    FaultKind.BEARING_WEAR: "wear",
    FaultKind.IMBALANCE: "imbalance",
    FaultKind.LEAK: "leak",
    FaultKind.CLOGGED_FILTER: "clog",
}
_FLOW = ("pressure", "flow", "power", "current", "temperature")
_WEAR = ("vibration", "bearing_temperature", "alarm")
_IMBALANCE = ("vibration", "alarm")
_EVERYTHING = ("speed", *_FLOW, "bearing_temperature", "vibration", "alarm")

_MOVED: dict[FaultKind, dict[str, tuple[str, ...]]] = {
    FaultKind.BEARING_WEAR: {"pump": _WEAR, "fan": _WEAR, "compressor": _WEAR},
    FaultKind.IMBALANCE: {"pump": _IMBALANCE, "fan": _IMBALANCE, "compressor": _IMBALANCE},
    FaultKind.LEAK: {"pump": _FLOW, "compressor": _EVERYTHING},
    FaultKind.CLOGGED_FILTER: {"pump": _FLOW, "fan": _FLOW},
}


def moved_signals(kind: FaultKind, model: str, signal: str | None) -> tuple[str, ...]:
    """What `kind` moves on a machine of `model`: the ground truth of a detector. `signal` for sensor faults.

    A dropout moves nothing but takes all signals away, so it names them all. ValueError, with the cure, if
    the fault cannot happen to that model or signal.
    """
    signals = {each.name: each for each in MODELS[model].SIGNALS}
    if kind is FaultKind.DROPOUT:
        return tuple(signals)
    if kind not in SENSOR_KINDS:
        if model not in _MOVED[kind]:
            raise ValueError(f"{kind.value} cannot happen to a {model}; it can to: {', '.join(_MOVED[kind])}")
        return _MOVED[kind][model]
    numbers = [name for name, each in signals.items() if each.form is not Form.BOOL]
    if signal not in numbers:
        what = "needs a signal" if signal is None else f"cannot be on {signal!r} of a {model}"
        raise ValueError(f"{kind.value} {what}; set signal: to one of {', '.join(numbers)}")
    told = ("alarm",) if "alarm" in signals and signal in ("vibration", "temperature") else ()
    return (signal, *told)


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One line of the ground truth: a fault started or stopped. `at_s` counts from the start of the run."""

    event: str
    kind: FaultKind
    machine: str
    area: str
    at_s: float
    grow_s: float
    severity: float
    signals: tuple[str, ...]


@dataclass(slots=True)
class Fault:
    """One fault on one machine. `stop_s` None: it stays for ever. Times are plant time in seconds.

    Severity 1 is the full fault. Wear grows over `grow_s` (exponentially for bearings, in a straight line for
    the rest) and then stays; a spike lasts `width_s` and comes back every `every_s`.
    """

    kind: FaultKind
    start_s: float
    stop_s: float | None
    grow_s: float
    severity: float
    signals: tuple[str, ...]
    signal: Signal | None = None
    every_s: float = 5.0
    width_s: float = 0.5
    active: bool = False
    _held: SignalValue | None = None

    def update(self, now_s: float) -> bool:
        """Become active or stop being it as of `now_s`; whether that changed."""
        before = self.active
        started = now_s + _EPSILON_S >= self.start_s
        self.active = started and (self.stop_s is None or now_s + _EPSILON_S < self.stop_s)
        if not self.active:
            self._held = None
        return self.active is not before

    def wear(self, condition: Condition, now_s: float) -> None:
        """Put this fault's share into `condition`; faults of one kind do not add up, the worst counts."""
        field = _CONDITION_FIELD.get(self.kind)
        if field is not None:
            setattr(condition, field, max(getattr(condition, field), self._intensity(now_s)))

    def distort(self, told: SignalValue, now_s: float) -> SignalValue:
        """What the sensor tells instead of `told`."""
        assert self.signal is not None
        span = self.signal.high - self.signal.low
        if self.kind is FaultKind.STUCK:
            if self._held is None:
                self._held = told
            return self._held
        if self.kind is FaultKind.DRIFT:
            return self.signal.tell(told + _DRIFT_SHARE_OF_RANGE * span * self._intensity(now_s))
        since_s = now_s + _EPSILON_S - self.start_s
        if since_s % self.every_s >= self.width_s:
            return told
        sign = -1.0 if floor(since_s / self.every_s) % 2 else 1.0
        return self.signal.tell(told + sign * self.severity * _SPIKE_SHARE_OF_RANGE * span)

    def _intensity(self, now_s: float) -> float:
        grown = min(max((now_s - self.start_s) / self.grow_s, 0.0), 1.0) if self.grow_s else 1.0
        if self.kind is FaultKind.BEARING_WEAR:
            grown = expm1(_WEAR_STEEPNESS * grown) / expm1(_WEAR_STEEPNESS)
        return self.severity * grown


def worn(faults: Iterable[Fault], now_s: float) -> Condition:
    """The condition that the active ones of `faults` leave a machine in."""
    condition = Condition()
    for fault in faults:
        if fault.active:
            fault.wear(condition, now_s)
    return condition
