"""One entry of `machines:` in the plant file: what the machine is and how it is reached. Pure."""

from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic

from fieldline.config import Settings
from fieldline.topics import check_name
from fieldline_edge.drivers.simulator.blueprint import BLUEPRINTS, Blueprint, with_monitor
from fieldline_edge.drivers.simulator.custom import custom_blueprint
from fieldline_edge.drivers.simulator.machines import Make
from fieldline_edge.drivers.simulator.serving_settings import UNITS_MAX
from fieldline_edge.drivers.simulator.signal_settings import RegisterSettings, SignalSettings, check_map
from fieldline_edge.drivers.simulator.vibration import Bearing

__all__ = [
    "LISTENERS_MAX",
    "MACHINES_MAX",
    "MachineSettings",
    "ModbusMachineSettings",
    "MonitorSettings",
    "MqttMachineSettings",
    "ReplaySettings",
]

LISTENERS_MAX = 1024
MACHINES_MAX = 10_000
_TURNING = ("pump", "fan", "compressor")

ModelName = Literal["pump", "fan", "compressor", "meter", "climate", "registers50", "custom", "replay"]
Name = Annotated[str, pydantic.AfterValidator(check_name)]


class MonitorSettings(Settings):
    """A vibration monitor on a machine with a motor: bands, shape and waveform."""

    balls: int = pydantic.Field(default=9, ge=3, le=100)
    """How many balls or rollers the bearing has."""
    ball_mm: float = pydantic.Field(default=7.94, gt=0)
    """Diameter of a ball, in millimetres."""
    pitch_mm: float = pydantic.Field(default=39.04, gt=0)
    """Diameter of the circle the balls run on, in millimetres."""
    contact_deg: float = pydantic.Field(default=0.0, ge=0, lt=90)
    """Contact angle, in degrees."""
    samples: int = pydantic.Field(default=1024, ge=0, le=8192)
    """Length of a waveform; 0: none."""
    rate_hz: float = pydantic.Field(default=2560.0, ge=10, le=100_000)
    """How many samples the waveform has in a second."""
    period_s: float = pydantic.Field(default=10.0, gt=0)
    """Time from one waveform to the next."""

    @pydantic.model_validator(mode="after")
    def _check_balls(self) -> Self:
        if self.ball_mm >= self.pitch_mm:
            raise ValueError(f"ball_mm {self.ball_mm:g} is not below pitch_mm {self.pitch_mm:g}; swap them")
        return self

    @property
    def bearing(self) -> Bearing:
        """The geometry of the bearing."""
        return Bearing(self.balls, self.ball_mm, self.pitch_mm, self.contact_deg)


class ReplaySettings(Settings):
    """A recorded trace (CSV, also as .csv.gz) that the machine plays back."""

    file: Path
    """The file; its place is counted from the folder of the plant file."""
    time_column: str | None = None
    """Column with the time; left out: one with a usual name, or the first."""
    time_format: str | None = None
    """How the time is written, as of Python's strptime, like %d.%m.%Y %H:%M; left out: ISO or Unix time."""
    sort: bool = False
    """Put the rows in order of time; false: time that goes back is a mistake."""
    columns: dict[Name, str] | None = None
    """The signals and the column of each; left out: all columns with numbers, under their own names."""
    only: dict[str, str] = pydantic.Field(default_factory=dict)
    """Keep the rows that have these values in these columns, such as {machine: pump-1}."""
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    """What stands between columns; left out: found out."""
    registers: dict[Name, RegisterSettings] | None = None
    """Register of each signal; left out: FLOAT32 in holding registers from 0 on, in the order of the signals."""
    loop: bool = True
    """Start again after the last row; false: stay there."""
    speed: float = pydantic.Field(default=1.0, gt=0, le=1e6)
    """How many seconds of the trace pass in one second of the plant."""


class _MachineSettings(Settings):
    """What machines have in common, however they are served."""

    name: Name
    """Name of the machine; with `count` the machines are called <name>-001, <name>-002 and so on."""
    area: Name = "hall-a"
    """Part of the site the machine stands in."""
    model: ModelName
    """What kind of machine it is: see the README of the simulator for the signals of each."""
    count: int | None = pydantic.Field(default=None, ge=1, le=MACHINES_MAX)
    """Make this many machines of this entry, each with its own phase and noise."""
    rated_kw: float = pydantic.Field(default=7.5, gt=0, le=300)
    """Rated power of the motor, or the base load of a meter."""
    load: float = pydantic.Field(default=0.75, ge=0.1, le=1.0)
    """Mean load as a share of the rated load; for a climate sensor, how full the hall is."""
    load_swing: float = pydantic.Field(default=0.1, ge=0, le=0.5)
    """How far the load swings around its mean, as a share of the rated load."""
    load_period_s: float = pydantic.Field(default=90.0, ge=1)
    """How long one swing of the load takes."""
    ambient_c: float = pydantic.Field(default=22.0, ge=-40, le=60)
    """Temperature of the air around the machine; the mean of it if the plant has seasons."""
    feeds: tuple[Name, ...] = ()
    """For a meter: the machines whose power it measures, on top of its base load."""
    calendar: str | None = None
    """Name of the calendar it works by; left out: it always works."""
    monitor: MonitorSettings | None = None
    """A vibration monitor, for machines with a motor."""
    signals: dict[Name, SignalSettings] | None = None
    """For model custom: its signals."""
    replay: ReplaySettings | None = None
    """For model replay: what it plays back."""

    @property
    def make(self) -> Make:
        """The physical part of these settings."""
        return Make(self.rated_kw, self.load, self.load_swing, self.load_period_s, self.ambient_c)

    @property
    def blueprint(self) -> Blueprint | None:
        """The kind of machine it is; None for a replay, which only its file can tell."""
        if self.model == "replay":
            return None
        if self.model == "custom":
            signals = self.signals or {}
            laws = [settings.law(name) for name, settings in signals.items()]
            registers = [each.modbus.register(name) for name, each in signals.items() if each.modbus]
            return custom_blueprint(laws, registers)
        blueprint = BLUEPRINTS[self.model]
        return with_monitor(blueprint) if self.monitor is not None else blueprint

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        for key, model in (("signals", "custom"), ("replay", "replay")):
            given = getattr(self, key) is not None
            if given and self.model != model:
                raise ValueError(f"{key}: is for model {model}, not {self.model}; remove it")
            if not given and self.model == model:
                raise ValueError(f"model {model} needs {key}:; add it")
        if self.monitor is not None and self.model not in _TURNING:
            raise ValueError(f"monitor: is for {', '.join(_TURNING)}, not {self.model}; remove it")
        if self.signals is not None:
            _check_follows(self.signals)
        if self.replay is not None and self.replay.registers is not None:
            check_map([each.register(name) for name, each in self.replay.registers.items()])
        return self


def _check_follows(signals: dict[str, SignalSettings]) -> None:
    seen: list[str] = []
    for name, settings in signals.items():
        for other in settings.follows:
            if other not in seen:
                known = ", ".join(seen) or "none"
                raise ValueError(f"signals.{name}.follows: {other!r} does not stand above {name}; those are: {known}")
        seen.append(name)
    check_map([each.modbus.register(name) for name, each in signals.items() if each.modbus])


class ModbusMachineSettings(_MachineSettings):
    """A machine read over Modbus."""

    serve: Literal["modbus"]
    """How the machine is reached."""
    unit: int | None = pydantic.Field(default=None, ge=1, le=UNITS_MAX)
    """Modbus unit id, of the first machine if there is a `count`; left out: the next free one."""
    listener: int | None = pydantic.Field(default=None, ge=0, lt=LISTENERS_MAX)
    """Which listener serves it, from 0; left out: the first, or without `unit` the next free place."""


class MqttMachineSettings(_MachineSettings):
    """A sensor that publishes over MQTT."""

    serve: Literal["mqtt"]
    """How the machine is reached."""
    period_ms: int = pydantic.Field(default=1000, ge=10, le=3_600_000)
    """Time from one message to the next."""


MachineSettings = Annotated[ModbusMachineSettings | MqttMachineSettings, pydantic.Field(discriminator="serve")]
