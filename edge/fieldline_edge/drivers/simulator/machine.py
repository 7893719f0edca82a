"""One machine of the plant: its physics, its sensors and its faults, moved on step by step. Pure."""

from collections.abc import Mapping
from random import Random

from fieldline_edge.drivers.simulator.faults import Change, Fault, worn
from fieldline_edge.drivers.simulator.kinds import SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.machines import Condition, Parts
from fieldline_edge.drivers.simulator.noise import Dice
from fieldline_edge.drivers.simulator.settings import Placed
from fieldline_edge.drivers.simulator.signals import SignalValue
from fieldline_edge.drivers.simulator.vibration import SIGNALS as MONITOR_SIGNALS
from fieldline_edge.drivers.simulator.vibration import Monitor

__all__ = ["Machine"]

_HEALTHY = Condition()
_MONITORED = frozenset(signal.name for signal in MONITOR_SIGNALS)


class Machine:
    """One machine of the plant: its physics, its sensors and its faults.

    `revision` grows whenever a value may have changed; `answering` is False during a dropout or a reboot.
    """

    def __init__(self, placed: Placed, seed: int) -> None:
        assert placed.blueprint is not None
        self.placed = placed
        self.name = placed.name
        self.area = placed.area
        self.blueprint = placed.blueprint
        self.answering = True
        self.rebooting = False
        self.revision = 0
        self._model = self.blueprint.build(placed.make, Random(f"{seed}/{placed.name}"))
        own = [each for each in self.blueprint.signals if each.name not in _MONITORED]
        self._has_alarm = any(each.name == "alarm" for each in own) and placed.model != "custom"
        own = [each for each in own if each.name != "alarm" or not self._has_alarm]
        self._sensors = [(each.name, each.sensor()) for each in own]
        self._dice = Dice(f"{seed}/{placed.name}/sensors", len(self._sensors))
        self._monitor = _monitor(placed, seed)
        self._condition = _HEALTHY
        self._waiting: list[Fault] = []
        self._active: list[Fault] = []
        self._values: dict[str, SignalValue] = {}
        self._time_s = 0.0
        self._steps = 0

    @property
    def values(self) -> Mapping[str, SignalValue]:
        """What the sensors tell now, by signal name, in the units of the model's signals."""
        if not self._values:
            self._look()
        return self._values

    @property
    def faults(self) -> list[Fault]:
        """Faults that act now or are still to come."""
        return [*self._active, *self._waiting]

    @property
    def power_kw(self) -> float:
        """True electrical power drawn now; 0 for machines without a motor."""
        return self._model.truth.get("power", 0.0)

    @property
    def waveform(self) -> tuple[int, ...]:
        """The last waveform of the vibration monitor, in steps of 0.01 mm/s; empty without one."""
        return self._monitor.waveform() if self._monitor is not None else ()

    @property
    def waveforms(self) -> int:
        """How many waveforms there have been."""
        return self._monitor.captures if self._monitor is not None else 0

    def switch(self, *, running: bool) -> None:
        """Start or stop the motor, as a write to its coil does."""
        self._model.running = running
        if "running" in self._model.truth:
            self._model.truth["running"] = float(running)
        self._values = {}
        self.revision += 1

    def surround(self, *, load_factor: float, warmer_c: float) -> None:
        """What the calendar asks of it and how warm the air is, from the next step on."""
        self._model.load_factor = load_factor
        self._model.warmer_c = warmer_c

    def add(self, fault: Fault) -> None:
        """Let `fault` happen at its time."""
        self._waiting.append(fault)
        self._waiting.sort(key=lambda each: each.start_s)

    def clear(self, kind: FaultKind | None, now_s: float) -> int:
        """Let all faults of `kind`, or all, be over at `now_s`; how many that are."""
        chosen = [each for each in self.faults if kind is None or each.kind is kind]
        self._waiting = [each for each in self._waiting if each not in chosen]
        for each in chosen:
            each.stop_s = now_s
        return len(chosen)

    def step(self, now_s: float, dt_s: float, feed_kw: float) -> list[tuple[Fault, Change]]:
        """Move on to plant time `now_s`; return what happened to its faults."""
        self._time_s = now_s
        self._steps += 1
        self.revision += 1
        changed: list[tuple[Fault, Change]] = []
        if self._active or (self._waiting and self._waiting[0].due(now_s)):
            changed = self._update_faults(now_s)
        model = self._model
        model.feed_kw = feed_kw
        model.advance(dt_s, self._condition)
        if self._monitor is not None and self._monitor.due(now_s):
            self._monitor.capture(self._vibration(), now_s)
        self._values = {}
        if self._active:
            self._look()  # what a sensor gets stuck at must not depend on who reads it when
        return changed

    def _update_faults(self, now_s: float) -> list[tuple[Fault, Change]]:
        while self._waiting and self._waiting[0].due(now_s):
            self._active.append(self._waiting.pop(0))
        changed = [(fault, change) for fault in self._active for change in fault.update(now_s)]
        self._active = [fault for fault in self._active if fault.active]
        kinds = {fault.kind for fault in self._active}
        self.answering = kinds.isdisjoint(SILENT_KINDS)
        self.rebooting = FaultKind.REBOOT in kinds
        if any(fault.kind is FaultKind.REBOOT and change is Change.START for fault, change in changed):
            self._model.restart()
        self._condition = worn(self._active, now_s) if self._active else _HEALTHY
        return changed

    def _look(self) -> None:
        truth = self._model.look()
        told: dict[str, SignalValue]
        if self._model.EXACT:
            told = dict(truth)
        else:
            thrown = self._dice.throw(self._steps)
            told = {name: sense(truth[name], luck) for (name, sense), luck in zip(self._sensors, thrown, strict=True)}
        if self._monitor is not None:
            told |= self._monitor.tell(self._vibration(), self._steps)
        for fault in self._active:
            if fault.signal is not None:
                told[fault.signal.name] = fault.distort(told[fault.signal.name], self._time_s)
        if self._has_alarm:
            told["alarm"] = self._model.alarm(told)
        self._values = told

    def _vibration(self) -> Parts:
        parts = self._model.vibration(self._condition)
        assert parts is not None
        return parts


def _monitor(placed: Placed, seed: int) -> Monitor | None:
    chosen = placed.monitor
    if chosen is None:
        return None
    return Monitor(
        chosen.bearing,
        samples=chosen.samples,
        rate_hz=chosen.rate_hz,
        period_s=chosen.period_s,
        seed=f"{seed}/{placed.name}",
    )
