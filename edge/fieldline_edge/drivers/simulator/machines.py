"""The machines and their physics: what is true inside them before any sensor looks. Pure.

A rotating machine is one chain: demand -> speed -> flow and pressure (affinity laws) -> shaft power ->
electrical power and current -> losses -> temperature with inertia; speed, imbalance and bearing wear make the
vibration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi, sin, sqrt
from random import Random
from typing import ClassVar

from fieldline_edge.drivers.simulator.signals import Form, Signal, SignalValue, Wander, approach

__all__ = ["MODELS", "TRIP_VIBRATION_MM_S", "Condition", "Make", "Model", "Parts"]

TRIP_VIBRATION_MM_S = 7.1  # ISO 10816-3, group 1: above this, zone D, damage is to be expected
_TRIP_TEMPERATURE_C = 130.0
_LINE_VOLTS = 400.0
_POWER_FACTOR = 0.86
_MOTOR_EFFICIENCY = 0.92
_START_HOURS_MAX = 20_000.0
_SEIZE_S = 0.4  # how fast a seized bearing brings the shaft to a stand
_LOOP_STEP_S_MAX = 1.0  # a pressure control loop sampled more slowly than this would swing
_AT_REST_S = 1e9  # one step this long brings every state to where it would settle: machines start warm


@dataclass(slots=True)
class Condition:
    """How a machine is worn. 0 is healthy, 1 is the full fault; faults write it, physics reads it."""

    wear: float = 0.0
    imbalance: float = 0.0
    misalignment: float = 0.0
    cavitation: float = 0.0
    leak: float = 0.0
    clog: float = 0.0
    seized: bool = False


@dataclass(frozen=True, slots=True)
class Make:
    """What tells two machines of one model apart. `load` and `load_swing` are shares of the rated load."""

    rated_kw: float = 7.5
    load: float = 0.75
    load_swing: float = 0.1
    load_period_s: float = 90.0
    ambient_c: float = 22.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes up the vibration of a machine at one moment: RMS of the velocity in mm/s, and how fast it turns.

    `shaft` is the healthy machine; `wear` is from 0 to about 1 and shapes the impacts.
    """

    shaft_hz: float
    shaft: float
    imbalance: float
    misalignment: float
    bearing: float
    cavitation: float
    wear: float


class Model:
    """Base of all models. `running` can be switched, `feed_kw` is what others draw through this machine.

    `load_factor` and `warmer_c` are what the calendar and the weather make of the load and of the air around it.
    """

    SIGNALS: ClassVar[tuple[Signal, ...]]
    EXACT: ClassVar[bool] = False
    """Whether `look` gives what the sensors tell already: they then have neither noise nor steps nor a range."""

    def __init__(self, make: Make, random: Random) -> None:
        self.make = make
        self.running = True
        self.feed_kw = 0.0
        self.load_factor = 1.0
        self.warmer_c = 0.0
        self.truth: dict[str, float] = {}
        self._time_s = 0.0
        self._phase = random.uniform(0.0, 2.0 * pi)
        self._demand_wander = Wander(random, tau_s=20.0)

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Move the truth `dt_s` seconds on."""
        raise NotImplementedError

    def alarm(self, told: Mapping[str, SignalValue]) -> bool:
        """What the machine's own protection says about the values its sensors told."""
        return False

    def restart(self) -> None:
        """The device starts anew: what it only kept in memory, its counters, begins at zero."""

    def vibration(self, condition: Condition) -> Parts | None:
        """What its vibration is made of now; None if nothing in it turns."""
        return None

    def look(self) -> Mapping[str, float]:
        """The true value of every signal now, by name; the protection's `alarm` is not among them."""
        return self.truth

    def _settle(self) -> None:
        self._time_s = -_AT_REST_S
        self.advance(_AT_REST_S, Condition())

    def _demand(self, dt_s: float) -> float:
        """The share of the rated load asked for now: a slow wave with some restlessness, 0.05 to 1.1."""
        self._time_s += dt_s
        make = self.make
        wave = make.load_swing * sin(2.0 * pi * self._time_s / make.load_period_s + self._phase)
        return min(max(make.load * self.load_factor + wave + 0.015 * self._demand_wander.step(dt_s), 0.05), 1.1)


_DRIVE_SIGNALS = (
    Signal("running", "", 0, 1, form=Form.BOOL),
    Signal("alarm", "", 0, 1, form=Form.BOOL),
    Signal("load", "%", 0, 120, 0.1, 0.1),
    Signal("speed", "rpm", 0, 6000, 1.5, 1),
    Signal("temperature", "degC", -40, 200, 0.08, 0.1),
    Signal("bearing_temperature", "degC", -40, 200, 0.08, 0.1),
    Signal("vibration", "mm/s", 0, 50, 0.04, 0.01),
    Signal("current", "A", 0, 600, 0.05, 0.01),
    Signal("power", "kW", 0, 400, 0.02, 0.001),
    Signal("running_hours", "h", 0, 4_000_000, 0, 0.001),
)


class _Rotating(Model):
    """A motor with bearings. Sub-classes add the process: what the shaft turns, and the power that takes."""

    RATED_RPM: ClassVar[float]

    def __init__(self, make: Make, random: Random) -> None:
        super().__init__(make, random)
        self._vibration_rated = random.uniform(2.2, 2.7)
        self._vibration_wander = Wander(random, tau_s=4.0)
        self._speed = self._winding_c = self._bearing_c = self._hours = 0.0
        self._on = True
        self._settle()
        self._hours = self.truth["running_hours"] = random.uniform(100.0, _START_HOURS_MAX)

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Move the truth `dt_s` seconds on."""
        demand = self._demand(dt_s)
        on = self._on = self.running and self.load_factor > 0.0 and not condition.seized
        share = self._target_share(demand, dt_s) if on else 0.0
        self._speed = approach(self._speed, share * self.RATED_RPM, dt_s, _SEIZE_S if condition.seized else 2.0)
        turning = self._speed / self.RATED_RPM
        shaft_kw = self._process(turning, demand, condition, dt_s)
        truth = self.truth
        truth["running"] = 1.0 if on else 0.0
        truth["load"] = 100.0 * demand if on else 0.0
        truth["speed"] = self._speed
        self._electrics(shaft_kw, turning, dt_s)
        self._bearings(turning, condition, dt_s)
        self._hours += dt_s / 3600.0 if on else 0.0
        truth["running_hours"] = self._hours

    def alarm(self, told: Mapping[str, SignalValue]) -> bool:
        """Vibration or winding temperature beyond the trip limits."""
        return float(told["vibration"]) > TRIP_VIBRATION_MM_S or float(told["temperature"]) > _TRIP_TEMPERATURE_C

    def restart(self) -> None:
        """The counter of running hours begins at zero."""
        self._hours = self.truth["running_hours"] = 0.0

    def vibration(self, condition: Condition) -> Parts:
        """The parts of the vibration; the root of the sum of their squares is the true overall value."""
        turning = self._speed / self.RATED_RPM
        unsteady = 1.0 + 0.03 * self._vibration_wander.value
        force = turning * turning * unsteady
        return Parts(
            shaft_hz=self._speed / 60.0,
            shaft=self._vibration_rated * force,
            imbalance=6.0 * condition.imbalance * force,
            misalignment=5.5 * condition.misalignment * force,
            bearing=11.0 * condition.wear * turning * unsteady,
            cavitation=4.5 * condition.cavitation * turning * unsteady,
            wear=condition.wear,
        )

    def _air_c(self) -> float:
        return self.make.ambient_c + self.warmer_c

    def _target_share(self, demand: float, dt_s: float) -> float:
        """The speed the drive aims at, as a share of the rated speed."""
        return 0.6 + 0.4 * demand

    def _process(self, turning: float, demand: float, condition: Condition, dt_s: float) -> float:
        """Set the process signals of `truth` and return the power at the shaft, in kW."""
        raise NotImplementedError

    def _electrics(self, shaft_kw: float, turning: float, dt_s: float) -> None:
        drawn_kw = shaft_kw / _MOTOR_EFFICIENCY + (0.01 * self.make.rated_kw if self._on else 0.0)
        losses = (drawn_kw - shaft_kw) / (self.make.rated_kw * 0.1)
        self._winding_c = approach(self._winding_c, self._air_c() + 55.0 * losses, dt_s, 180.0)
        truth = self.truth
        truth["power"] = drawn_kw
        truth["current"] = drawn_kw * 1000.0 / (sqrt(3.0) * _LINE_VOLTS * _POWER_FACTOR)
        truth["temperature"] = self._winding_c

    def _bearings(self, turning: float, condition: Condition, dt_s: float) -> None:
        """Heat and vibration. The friction of a worn bearing is far below the noise of `power`: left out."""
        friction = 24.0 + 60.0 * condition.wear + 8.0 * condition.misalignment
        warm_c = self._air_c() + friction * turning
        self._bearing_c = approach(self._bearing_c, warm_c, dt_s, 40.0)
        unsteady = 1.0 + 0.03 * self._vibration_wander.step(dt_s)
        # Forces of imbalance and misalignment grow with the square of the speed; impacts in a bearing with the speed.
        squares = self._vibration_rated**2 + (6.0 * condition.imbalance) ** 2 + (5.5 * condition.misalignment) ** 2
        turned = sqrt(squares) * turning * turning
        rough = (11.0 * condition.wear * turning) ** 2 + (4.5 * condition.cavitation * turning) ** 2
        self.truth["vibration"] = sqrt(turned**2 + rough) * unsteady
        self.truth["bearing_temperature"] = self._bearing_c


class Pump(_Rotating):
    """A centrifugal pump on a variable-speed drive: curve p = p0 s^2 - k Q^2 against a valve and a leak."""

    RATED_RPM = 2950.0
    SIGNALS = (
        *_DRIVE_SIGNALS,
        Signal("pressure", "bar", 0, 16, 0.01, 0.001),
        Signal("flow", "m3/h", 0, 5000, 0.05, 0.01),
    )
    _SHUT_BAR = 6.0
    _RATED_BAR = 4.0

    def _process(self, turning: float, demand: float, condition: Condition, dt_s: float) -> float:
        rated_m3_h = self.make.rated_kw * 0.72 * 36.0 / self._RATED_BAR
        inner = (self._SHUT_BAR - self._RATED_BAR) / rated_m3_h**2
        open_to_process = demand * rated_m3_h / sqrt(self._RATED_BAR)
        open_to_process *= 1.0 - 0.6 * condition.clog
        open_all = open_to_process + 0.5 * condition.leak * rated_m3_h / sqrt(self._RATED_BAR)
        flow = turning * sqrt(self._SHUT_BAR / (inner + 1.0 / open_all**2))
        starved = condition.cavitation * (0.12 + 0.03 * self._vibration_wander.value)
        flow *= max(1.0 - starved, 0.5)
        pressure = (self._SHUT_BAR * turning**2 - inner * flow**2) * max(1.0 - starved, 0.5)
        self.truth["pressure"] = pressure
        self.truth["flow"] = flow * open_to_process / open_all  # the meter stands behind the leak
        # A radial pump draws more the more it delivers, and a third of its power at closed valves.
        return self.make.rated_kw * turning**2 * (0.35 * turning + 0.65 * flow / rated_m3_h)


class Fan(_Rotating):
    """An axial fan: flow with speed, pressure with its square, power with its cube; a filter in front."""

    RATED_RPM = 1450.0
    SIGNALS = (
        *_DRIVE_SIGNALS,
        Signal("pressure", "Pa", 0, 3000, 1.0, 0.1),
        Signal("flow", "m3/h", 0, 500_000, 8.0, 1),
    )

    def _process(self, turning: float, demand: float, condition: Condition, dt_s: float) -> float:
        self.truth["pressure"] = 800.0 * turning**2 * (1.0 + 0.5 * condition.clog)
        self.truth["flow"] = 2200.0 * self.make.rated_kw * turning * (1.0 - 0.45 * condition.clog)
        return self.make.rated_kw * turning**3 * (1.0 - 0.25 * condition.clog)


class Compressor(_Rotating):
    """A screw compressor on a receiver: the drive follows the pressure, so a leak shows in everything."""

    RATED_RPM = 3600.0
    SIGNALS = (
        *_DRIVE_SIGNALS,
        Signal("pressure", "bar", 0, 16, 0.01, 0.001),
        Signal("flow", "m3/min", 0, 500, 0.01, 0.001),
    )
    _SET_BAR = 7.0

    def __init__(self, make: Make, random: Random) -> None:
        self._pressure = self._SET_BAR
        self._leaving = 0.0
        super().__init__(make, random)

    def _target_share(self, demand: float, dt_s: float) -> float:
        if dt_s > _LOOP_STEP_S_MAX:  # where drive and receiver agree, solved by hand: iterating would swing
            self._pressure = self._SET_BAR * 4.4 / (demand + self._leaving + 3.5)
        return min(max(0.9 + 0.5 * (self._SET_BAR - self._pressure), 0.2), 1.05)

    def _process(self, turning: float, demand: float, condition: Condition, dt_s: float) -> float:
        rated_flow = 0.16 * self.make.rated_kw
        # What leaves grows with the pressure; what comes grows with the speed. The receiver evens it out.
        self._leaving = 0.35 * condition.leak
        leaving = (demand + self._leaving) * rated_flow / self._SET_BAR
        coming = turning * rated_flow
        self._pressure = approach(self._pressure, coming / leaving, dt_s, 6.0)
        self._pressure = min(self._pressure, 12.0)
        self.truth["pressure"] = self._pressure
        self.truth["flow"] = coming
        return self.make.rated_kw * turning * (0.3 + 0.7 * self._pressure / self._SET_BAR)


class Meter(Model):
    """An energy meter. It measures the machines it `feeds` and a base load of its own."""

    SIGNALS = (
        Signal("voltage", "V", 0, 3000, 0.1, 0.1),
        Signal("current", "A", 0, 6000, 0.05, 0.01),
        Signal("power", "kW", 0, 10_000, 0.02, 0.001),
        Signal("frequency", "Hz", 0, 100, 0.003, 0.01),
        Signal("power_factor", "", 0, 1, 0.001, 0.001),
        Signal("energy", "Wh", 0, 2**62, form=Form.INT),
    )

    def __init__(self, make: Make, random: Random) -> None:
        super().__init__(make, random)
        self._grid_wander = Wander(random, tau_s=30.0)
        self._energy_wh = random.uniform(1e9, 9e9)
        self.advance(0.0, Condition())

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Move the truth `dt_s` seconds on."""
        power = self.make.rated_kw * self._demand(dt_s) + self.feed_kw
        grid = self._grid_wander.step(dt_s)
        voltage = _LINE_VOLTS + 1.2 * grid - 0.01 * power
        self._energy_wh += power * dt_s / 3.6
        self.truth = {
            "voltage": voltage,
            "current": power * 1000.0 / (sqrt(3.0) * voltage * _POWER_FACTOR),
            "power": power,
            "frequency": 50.0 + 0.01 * grid,
            "power_factor": _POWER_FACTOR,
            "energy": self._energy_wh,
        }

    def restart(self) -> None:
        """The energy counter begins at zero."""
        self._energy_wh = self.truth["energy"] = 0.0


class Climate(Model):
    """The air of a hall: people and machines (the load) warm it and breathe in it."""

    SIGNALS = (
        Signal("temperature", "degC", -40, 85, 0.05, 0.1),
        Signal("humidity", "%", 0, 100, 0.2, 0.1),
        Signal("co2", "ppm", 0, 10_000, 4.0, 1),
    )

    def __init__(self, make: Make, random: Random) -> None:
        super().__init__(make, random)
        self._air_c = self._co2 = 0.0
        self._settle()

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Move the truth `dt_s` seconds on."""
        people = self._demand(dt_s)
        outside_c = self.make.ambient_c + self.warmer_c
        self._air_c = approach(self._air_c, outside_c + 4.0 * people, dt_s, 300.0)
        self._co2 = approach(self._co2, 420.0 + 700.0 * people, dt_s, 200.0)
        self.truth["temperature"] = self._air_c
        self.truth["humidity"] = 48.0 - 2.2 * (self._air_c - outside_c) + 4.0 * people
        self.truth["co2"] = self._co2


class Registers50(Model):
    """50 slow whole numbers, computed when read: load for benches, at almost no cost between the reads."""

    EXACT = True
    COUNT: ClassVar[int] = 50
    SIGNALS = tuple(Signal(f"r{index:02}", "", 0, 65_535, form=Form.INT) for index in range(50))

    def __init__(self, make: Make, random: Random) -> None:
        super().__init__(make, random)
        self._waves = [
            (signal.name, random.uniform(2e3, 6e4), random.uniform(50.0, 500.0), random.uniform(0.01, 0.1))
            for signal in self.SIGNALS
        ]

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Let time pass."""
        self._time_s += dt_s

    def look(self) -> dict[str, int]:
        """The registers now: a pure function of the seed and the time."""
        time_s, phase = self._time_s, self._phase
        return {name: int(mean + swing * sin(pace * time_s + phase)) for name, mean, swing, pace in self._waves}


MODELS: Mapping[str, type[Model]] = {
    "pump": Pump,
    "fan": Fan,
    "compressor": Compressor,
    "meter": Meter,
    "climate": Climate,
    "registers50": Registers50,
}
