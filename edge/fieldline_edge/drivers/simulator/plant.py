"""The plant: all machines, moved on step by step. Pure: a run is a function of the settings and the steps."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from fieldline_edge.drivers.simulator.blueprint import moved_signals
from fieldline_edge.drivers.simulator.calendar import Calendar
from fieldline_edge.drivers.simulator.campaign import draw_faults
from fieldline_edge.drivers.simulator.fault_settings import FaultSettings
from fieldline_edge.drivers.simulator.faults import Change, Fault, FaultEvent
from fieldline_edge.drivers.simulator.kinds import SENSOR_KINDS, FaultKind
from fieldline_edge.drivers.simulator.machine import Machine
from fieldline_edge.drivers.simulator.settings import Placed, PlantSettings
from fieldline_edge.drivers.simulator.trace import Trace, replay_blueprint

__all__ = ["START_S", "Plant"]

START_S = 1_767_571_200.0
"""Where plant time begins if nobody says: Monday, 5 January 2026, 00:00 UTC."""

_EVENTS_MAX = 100_000
_REBOOT_S = 5.0


class Plant:
    """All machines by name. `steps` and `time_s` say how far the run is; it begins at `start_s` of Unix time.

    `traces` are the files of the replay machines, by name of the machine. ValueError if a fault cannot be.
    """

    def __init__(
        self, settings: PlantSettings, *, start_s: float | None = None, traces: Mapping[str, Trace] | None = None
    ) -> None:
        self.machines: dict[str, Machine] = {}
        self.start_s = next(each for each in (settings.start_s, start_s, START_S) if each is not None)
        self.events_dropped = 0
        self.steps = 0
        self.time_s = 0.0
        self._seed = settings.seed
        self._events: list[FaultEvent] = []
        self._faults = 0
        self._minute = -1.0
        self._seasons = None if settings.seasons is None else settings.seasons.seasons
        self._calendars: dict[str, Calendar] = {name: each.calendar for name, each in settings.calendars.items()}
        placed = [_with_trace(each, traces or {}) for each in settings.placed()]
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
        if settings.campaign is not None:
            blueprints = {name: each.blueprint for name, each in self.machines.items()}
            for fault in draw_faults(settings.campaign, blueprints, seed=settings.seed):
                self.inject(fault)

    @property
    def now_s(self) -> float:
        """Plant time as Unix time."""
        return self.start_s + self.time_s

    def inject(self, fault: FaultSettings) -> int:
        """Schedule a fault, `at_s` after the start of the run; its number. KeyError or ValueError if it cannot be."""
        machine = self.machines[fault.machine]
        blueprint = machine.blueprint
        duration_s = fault.duration_s
        if duration_s is None and fault.kind is FaultKind.REBOOT:
            duration_s = _REBOOT_S
        signals = moved_signals(fault.kind, blueprint, fault.signal, fails=fault.fails)
        signal = None
        if fault.kind in SENSOR_KINDS:
            signal = next((each for each in blueprint.signals if each.name == fault.signal), None)
        self._faults += 1
        machine.add(
            Fault(
                number=self._faults,
                kind=fault.kind,
                start_s=fault.at_s,
                stop_s=None if duration_s is None else fault.at_s + duration_s,
                grow_s=fault.grow_s,
                severity=fault.severity,
                signals=signals,
                random=Random(f"{self._seed}/{fault.machine}/{fault.kind.value}/{fault.signal}/{fault.at_s}"),
                signal=signal,
                every_s=fault.every_s,
                width_s=fault.width_s,
                fails=fault.fails,
            )
        )
        return self._faults

    def step(self, dt_s: float) -> None:
        """Move every machine on by `dt_s` seconds."""
        self.steps += 1
        self.time_s += dt_s
        now_s = self.time_s
        if self._seasons is not None or self._calendars:
            self._set_surroundings()
        for machine in self._order:
            changes = machine.step(now_s, dt_s, 0.0)
            if changes:
                self._note(machine, changes)
        for meter, fed in self._meters:
            changes = meter.step(now_s, dt_s, sum([each.power_kw for each in fed]))
            if changes:
                self._note(meter, changes)

    def drain_events(self) -> list[FaultEvent]:
        """What happened to faults since the last call. At most 100,000 wait; more are counted and dropped."""
        events, self._events = self._events, []
        return events

    def _set_surroundings(self) -> None:
        """Weather and shifts are the same for all who share them, and shifts begin at whole minutes: once a minute."""
        now_s = self.now_s
        if now_s // 60.0 == self._minute:
            return
        self._minute = now_s // 60.0
        warmer_c = 0.0 if self._seasons is None else self._seasons.warmer_at(now_s)
        loads = {name: each.load_at(now_s) for name, each in self._calendars.items()}
        for machine in self.machines.values():
            name = machine.placed.calendar
            machine.surround(load_factor=1.0 if name is None else loads[name], warmer_c=warmer_c)

    def _note(self, machine: Machine, changes: list[tuple[Fault, Change]]) -> None:
        for fault, change in changes:
            if len(self._events) >= _EVENTS_MAX:
                self.events_dropped += 1
                continue
            event = FaultEvent(change, fault, machine.name, machine.area, round(self.time_s, 6))
            self._events.append(event)


def _with_trace(placed: Placed, traces: Mapping[str, Trace]) -> Placed:
    """`placed` with the kind of machine that its file makes of it."""
    if placed.blueprint is not None:
        return placed
    replay = placed.replay
    assert replay is not None
    registers = None
    trace = traces[placed.name]
    if replay.registers is not None:
        registers = [each.register(name) for name, each in replay.registers.items()]
        missing = [each.signal for each in registers if each.signal not in trace.columns]
        if missing:
            known = ", ".join(list(trace.columns)[:12])
            raise ValueError(f"{placed.name}: registers of {missing[0]!r}, which is no signal; signals: {known}")
    return replace(placed, blueprint=replay_blueprint(trace, registers, loop=replay.loop, speed=replay.speed))
