"""The plant: all machines, moved on step by step. Pure: a run is a function of the settings and the steps."""

from collections.abc import Mapping
from random import Random

from fieldline_edge.drivers.simulator.faults import (
    SENSOR_KINDS,
    Fault,
    FaultEvent,
    FaultKind,
    moved_signals,
    worn,
)
from fieldline_edge.drivers.simulator.machines import MODELS, Condition
from fieldline_edge.drivers.simulator.settings import FaultSettings, Placed, PlantSettings
from fieldline_edge.drivers.simulator.signals import SignalValue

__all__ = ["Machine", "Plant"]

_EVENTS_MAX = 10_000
_HEALTHY = Condition()


class Machine:
    """One machine of the plant: its physics, its sensors and its faults.

    `revision` grows whenever a value may have changed; `answering` is False during a dropout.
    """

    def __init__(self, placed: Placed, seed: int) -> None:
        self.placed = placed
        self.name = placed.name
        self.area = placed.area
        self._random = Random(f"{seed}/{placed.name}")
        self._model = MODELS[placed.model](placed.make, self._random)
        self._signals = tuple(each for each in self._model.SIGNALS if each.name != "alarm")
        self._has_alarm = len(self._signals) < len(self._model.SIGNALS)
        self._faults: list[Fault] = []
        self._values: dict[str, SignalValue] = {}
        self._time_s = 0.0
        self.answering = True
        self.revision = 0
        self._look()

    @property
    def values(self) -> Mapping[str, SignalValue]:
        """What the sensors tell now, by signal name, in the units of the model's signals."""
        if not self._values:
            self._look()
        return self._values

    @property
    def power_kw(self) -> float:
        """True electrical power drawn now; 0 for machines without a motor."""
        return self._model.truth.get("power", 0.0)

    def switch(self, *, running: bool) -> None:
        """Start or stop the motor, as a write to its coil does."""
        self._model.running = running
        if "running" in self._values:
            self._values["running"] = running
        self.revision += 1

    def add(self, fault: Fault) -> None:
        """Let `fault` happen at its time."""
        self._faults.append(fault)

    def step(self, now_s: float, dt_s: float, feed_kw: float) -> list[Fault]:
        """Move on to plant time `now_s`; return the faults that started or stopped."""
        self._time_s = now_s
        self.revision += 1
        changed: list[Fault] = []
        condition = _HEALTHY
        if self._faults:
            changed = [fault for fault in self._faults if fault.update(now_s)]
            self.answering = not any(each.active and each.kind is FaultKind.DROPOUT for each in self._faults)
            condition = worn(self._faults, now_s)
        self._model.feed_kw = feed_kw
        self._model.advance(dt_s, condition)
        if self._model.EAGER or self._faults:
            self._look()
        else:
            self._values = {}
        return changed

    def _look(self) -> None:
        truth, random = self._model.look(), self._random
        told = {signal.name: signal.sense(truth[signal.name], random) for signal in self._signals}
        for fault in self._faults:
            if fault.active and fault.signal is not None:
                told[fault.signal.name] = fault.distort(told[fault.signal.name], self._time_s)
        if self._has_alarm:
            told["alarm"] = self._model.alarm(told)
        self._values = told


class Plant:
    """All machines by name. `steps` and `time_s` say how far the run is."""

    def __init__(self, settings: PlantSettings) -> None:
        self.machines: dict[str, Machine] = {}
        self._events: list[FaultEvent] = []
        self.events_dropped = 0
        self.steps = 0
        self.time_s = 0.0
        placed = settings.placed()
        for each in placed:
            self.machines[each.name] = Machine(each, settings.seed)
        # Meters come last, so that they measure what their machines draw in the same step.
        self._order = [self.machines[each.name] for each in placed if each.model != "meter"]
        self._meters = [
            (self.machines[each.name], [self.machines[name] for name in each.feeds])
            for each in placed
            if each.model == "meter"
        ]
        for fault in settings.faults:
            self.inject(fault)

    def inject(self, fault: FaultSettings) -> None:
        """Schedule a fault, `at_s` after the start of the run. KeyError or ValueError if it cannot be."""
        machine = self.machines[fault.machine]
        model = machine.placed.model
        stop_s = None if fault.duration_s is None else fault.at_s + fault.duration_s
        signal = None
        if fault.kind in SENSOR_KINDS:
            signal = next((each for each in MODELS[model].SIGNALS if each.name == fault.signal), None)
        machine.add(
            Fault(
                kind=fault.kind,
                start_s=fault.at_s,
                stop_s=stop_s,
                grow_s=fault.grow_s,
                severity=fault.severity,
                signals=moved_signals(fault.kind, model, fault.signal),
                signal=signal,
                every_s=fault.every_s,
                width_s=fault.width_s,
            )
        )

    def step(self, dt_s: float) -> None:
        """Move every machine on by `dt_s` seconds."""
        self.steps += 1
        self.time_s += dt_s
        for machine in self._order:
            self._note(machine, machine.step(self.time_s, dt_s, 0.0))
        for meter, fed in self._meters:
            feed_kw = sum(each.power_kw for each in fed)
            self._note(meter, meter.step(self.time_s, dt_s, feed_kw))

    def drain_events(self) -> list[FaultEvent]:
        """Starts and stops since the last call. At most 10,000 wait; more are counted and dropped."""
        events, self._events = self._events, []
        return events

    def _note(self, machine: Machine, changed: list[Fault]) -> None:
        for fault in changed:
            if len(self._events) >= _EVENTS_MAX:
                self.events_dropped += 1
                continue
            event = "start" if fault.active else "stop"
            self._events.append(
                FaultEvent(
                    event=event,
                    kind=fault.kind,
                    machine=machine.name,
                    area=machine.area,
                    at_s=round(self.time_s, 6),
                    grow_s=fault.grow_s,
                    severity=fault.severity,
                    signals=fault.signals,
                )
            )
