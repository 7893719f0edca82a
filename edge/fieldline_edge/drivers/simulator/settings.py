"""The plant file (`kind: plant`): machines, how they are served, and what goes wrong with them when."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic_core import InitErrorDetails, PydanticCustomError

from fieldline.addresses import parse_address
from fieldline.config import FileSettings, Settings
from fieldline.topics import check_name, check_topic
from fieldline_edge.drivers.simulator.faults import FaultKind, moved_signals
from fieldline_edge.drivers.simulator.machines import MODELS, Make

__all__ = ["FaultSettings", "MachineSettings", "ModbusPlace", "Placed", "PlantSettings", "split_address"]

UNITS_MAX = 247  # Modbus: 1 to 247 are devices, 0 is broadcast, the rest is reserved
LISTENERS_MAX = 1024
MACHINES_MAX = 10_000

ModelName = Literal["pump", "fan", "compressor", "meter", "climate", "registers50"]
Name = Annotated[str, pydantic.AfterValidator(check_name)]


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as a pair; ValueError with the cure if it is not that."""
    return parse_address(address, cure="write it like 127.0.0.1:5020")


def _check_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, pydantic.AfterValidator(_check_address)]


class ModbusSettings(Settings):
    """The Modbus TCP side of the plant."""

    listen: Address = "127.0.0.1:5020"
    """Address of the first listener; 0 takes any free port. Further listeners take the ports after it."""
    units_per_listener: int = pydantic.Field(default=UNITS_MAX, ge=1, le=UNITS_MAX)
    """How many units one listener serves before the next port is used; 1: each machine has its own port."""


class MqttSettings(Settings):
    """The MQTT side of the plant."""

    broker: Address = "127.0.0.1:1883"
    """Address of the broker. It need not be there yet: the plant keeps trying."""
    topic_root: Annotated[str, pydantic.AfterValidator(check_topic)] = "plant"
    """First levels of the topic; a machine publishes to <topic_root>/<area>/<name>."""
    queue_max: int = pydantic.Field(default=1000, ge=1, le=60_000)
    """How many messages may wait for the broker; when it is full the newest are dropped and counted."""


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
    """Temperature of the air around the machine."""
    feeds: tuple[Name, ...] = ()
    """For a meter: the machines whose power it measures, on top of its base load."""

    @property
    def make(self) -> Make:
        """The physical part of these settings."""
        return Make(self.rated_kw, self.load, self.load_swing, self.load_period_s, self.ambient_c)


class ModbusMachineSettings(_MachineSettings):
    """A machine read over Modbus TCP."""

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


class FaultSettings(Settings):
    """One fault on one machine."""

    kind: FaultKind
    """What goes wrong."""
    machine: str
    """Name of the machine it happens to."""
    at_s: float = pydantic.Field(ge=0)
    """When it starts, counted from the start of the plant."""
    grow_s: float = pydantic.Field(default=10.0, ge=0)
    """How long it grows until it has its full severity (wear and drift)."""
    duration_s: float | None = pydantic.Field(default=None, gt=0)
    """How long it lasts; left out: for ever."""
    severity: float = pydantic.Field(default=1.0, gt=0, le=2)
    """How bad it gets; 1 is a fault that cannot be overlooked."""
    signal: str | None = None
    """The signal concerned (stuck, spike and drift)."""
    every_s: float = pydantic.Field(default=5.0, gt=0)
    """Time from one spike to the next."""
    width_s: float = pydantic.Field(default=0.5, gt=0)
    """How long one spike lasts."""


@dataclass(frozen=True, slots=True)
class ModbusPlace:
    """Where a machine answers: listener, counted from 0, and unit id."""

    listener: int
    unit: int


@dataclass(frozen=True, slots=True)
class Placed:
    """One machine after `count` has been written out. Over Modbus it has a place, over MQTT a period."""

    name: str
    area: str
    model: str
    make: Make
    feeds: tuple[str, ...]
    place: ModbusPlace | None
    period_ms: int


class PlantSettings(FileSettings):
    """A simulated plant."""

    KIND: ClassVar[str] = "plant"
    kind: Literal["plant"] = "plant"
    """What this file describes."""
    seed: int = 7
    """The same seed and the same number of steps give the same values, bit for bit."""
    step_ms: int = pydantic.Field(default=50, ge=1, le=10_000)
    """How often the plant moves on."""
    modbus: ModbusSettings = ModbusSettings()
    """How machines with `serve: modbus` are served."""
    mqtt: MqttSettings = MqttSettings()
    """How machines with `serve: mqtt` are served."""
    machines: tuple[MachineSettings, ...]
    """The machines."""
    faults: tuple[FaultSettings, ...] = ()
    """What goes wrong, and when."""
    truth: Path | None = None
    """File that gets one JSON line for every start and stop of a fault; it is written anew at each run."""

    @property
    def step_s(self) -> float:
        """The step in seconds."""
        return self.step_ms / 1000.0

    def placed(self) -> tuple[Placed, ...]:
        """All machines, in the order of the file, with `count` written out."""
        return tuple(machine for _, machine in _expand(self))

    @pydantic.model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.machines:
            raise _at(("machines",), "is empty; add a machine like {name: pump-1, model: pump, serve: modbus}")
        machines = _check_machines(self)
        for index, fault in enumerate(self.faults):
            if fault.machine not in machines:
                known = ", ".join(list(machines)[:8])
                raise _at(("faults", index, "machine"), f"there is no machine {fault.machine!r}; machines: {known}")
            try:
                moved_signals(fault.kind, machines[fault.machine].model, fault.signal)
            except ValueError as error:
                key = "signal" if fault.signal else "kind"
                raise _at(("faults", index, key), str(error)) from None
        return self


def _at(location: tuple[str | int, ...], message: str) -> pydantic.ValidationError:
    """An error at one place of the file, which a plain ValueError from a whole-file check could not name."""
    # The message goes in as a value, for braces in it would be taken for a template.
    problem = PydanticCustomError("value_error", "{message}", {"message": message})
    detail = InitErrorDetails(type=problem, loc=location, input=None)
    return pydantic.ValidationError.from_exception_data("PlantSettings", [detail])


def _check_machines(settings: PlantSettings) -> dict[str, Placed]:
    """All machines by name; names, places, limits and feeds checked."""
    found: dict[str, Placed] = {}
    places: dict[ModbusPlace, str] = {}
    for index, machine in _expand(settings):
        here: tuple[str | int, ...] = ("machines", index)
        if machine.name in found:
            raise _at((*here, "name"), f"{machine.name!r} is already the name of another machine; rename one")
        if len(found) >= MACHINES_MAX:
            raise _at((*here, "count"), f"makes more than {MACHINES_MAX} machines; lower it")
        if machine.place is not None:
            _check_place(machine, places, settings.modbus.units_per_listener, here)
        found[machine.name] = machine
    for index, entry in enumerate(settings.machines):
        _check_feeds(entry, found, ("machines", index, "feeds"))
    return found


def _check_place(machine: Placed, places: dict[ModbusPlace, str], units_max: int, here: tuple[str | int, ...]) -> None:
    place = machine.place
    assert place is not None
    if place.unit > units_max:
        raise _at((*here, "unit"), f"{place.unit} is more than modbus.units_per_listener ({units_max}); lower it")
    if place.listener >= LISTENERS_MAX:
        cure = "raise modbus.units_per_listener or lower count"
        raise _at(here, f"{machine.name} would need listener {place.listener}, over {LISTENERS_MAX - 1}; {cure}")
    other = places.setdefault(place, machine.name)
    if other != machine.name:
        cure = "choose another, or leave unit out"
        raise _at((*here, "unit"), f"unit {place.unit} on listener {place.listener} is already {other}; {cure}")


def _check_feeds(entry: _MachineSettings, found: dict[str, Placed], here: tuple[str | int, ...]) -> None:
    if entry.feeds and entry.model != "meter":
        raise _at(here, f"only a meter measures other machines, not a {entry.model}; remove feeds")
    for name in entry.feeds:
        if name not in found or found[name].model not in _POWERED:
            powered = [each.name for each in found.values() if each.model in _POWERED]
            raise _at(here, f"{name!r} is no machine with a motor; choose from: {', '.join(powered[:8])}")


_POWERED = frozenset(
    name for name, model in MODELS.items() if name != "meter" and any(each.name == "power" for each in model.SIGNALS)
)


def _expand(settings: PlantSettings) -> Iterator[tuple[int, Placed]]:
    """Each machine with the index of the entry it comes from."""
    following = ModbusPlace(0, 1)
    for index, entry in enumerate(settings.machines):
        place: ModbusPlace | None = None
        if isinstance(entry, ModbusMachineSettings):
            place = _first_place(entry, following)
        for name in _names(entry):
            period_ms = entry.period_ms if isinstance(entry, MqttMachineSettings) else 0
            yield index, Placed(name, entry.area, entry.model, entry.make, entry.feeds, place, period_ms)
            if place is not None:
                place = _after(place, settings.modbus.units_per_listener)
                following = max(following, place, key=lambda each: (each.listener, each.unit))


def _first_place(entry: ModbusMachineSettings, following: ModbusPlace) -> ModbusPlace:
    if entry.unit is None and entry.listener is None:
        return following
    return ModbusPlace(entry.listener or 0, entry.unit or 1)


def _after(place: ModbusPlace, units_max: int) -> ModbusPlace:
    if place.unit >= units_max:
        return ModbusPlace(place.listener + 1, 1)
    return ModbusPlace(place.listener, place.unit + 1)


def _names(entry: _MachineSettings) -> list[str]:
    if entry.count is None:
        return [entry.name]
    digits = max(3, len(str(entry.count)))
    return [f"{entry.name}-{number:0{digits}}" for number in range(1, entry.count + 1)]
