"""The plant file (`kind: plant`): machines, when they work, how they are served, and what goes wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic_core import InitErrorDetails, PydanticCustomError

from fieldline.config import FileSettings
from fieldline.scaled_clock import ClockText, ScaledClock
from fieldline_edge.drivers.simulator.blueprint import Blueprint, moved_signals
from fieldline_edge.drivers.simulator.calendar_settings import CalendarSettings, SeasonSettings
from fieldline_edge.drivers.simulator.fault_settings import CampaignSettings, FaultSettings
from fieldline_edge.drivers.simulator.machine_settings import (
    LISTENERS_MAX,
    MACHINES_MAX,
    MachineSettings,
    ModbusMachineSettings,
    MonitorSettings,
    MqttMachineSettings,
    ReplaySettings,
)
from fieldline_edge.drivers.simulator.machines import MODELS, Make
from fieldline_edge.drivers.simulator.serving_settings import LoopbackAddress, ModbusSettings, MqttSettings

__all__ = ["MachineSettings", "ModbusPlace", "Placed", "PlantSettings"]

_Machine = ModbusMachineSettings | MqttMachineSettings


def _check_moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date and time; write it like 2026-01-05T06:00:00") from None
    return text


_Moment = Annotated[str, pydantic.AfterValidator(_check_moment)]


@dataclass(frozen=True, slots=True)
class ModbusPlace:
    """Where a machine answers: listener, counted from 0, and unit id."""

    listener: int
    unit: int


@dataclass(frozen=True, slots=True)
class Placed:
    """One machine after `count` has been written out. Over Modbus it has a place, over MQTT a period.

    `blueprint` is None for a replay: its file tells.
    """

    name: str
    area: str
    model: str
    make: Make
    feeds: tuple[str, ...]
    place: ModbusPlace | None
    period_ms: int
    blueprint: Blueprint | None
    calendar: str | None = None
    monitor: MonitorSettings | None = None
    replay: ReplaySettings | None = None


class PlantSettings(FileSettings):
    """A simulated plant."""

    KIND: ClassVar[str] = "plant"
    kind: Literal["plant"] = "plant"
    """What this file describes."""
    seed: int = 7
    """The same seed and the same number of steps give the same values, bit for bit."""
    step_ms: int = pydantic.Field(default=50, ge=1, le=600_000)
    """How often the plant moves on, in plant time."""
    start: _Moment | None = None
    """Date and time at which plant time begins, like 2026-01-05T06:00:00; left out: now. No zone means UTC."""
    time_scale: float = pydantic.Field(default=1.0, gt=0, le=1e6)
    """How many seconds of plant time pass in a second."""
    clock: ClockText = ""
    """A clock that plant and agents share, as wall_ns,plant_ns,scale; it takes the place of start and time_scale."""
    calendars: dict[str, CalendarSettings] = pydantic.Field(default_factory=dict)
    """Calendars by name: shifts, breaks and holidays for the machines that name one."""
    seasons: SeasonSettings | None = None
    """How the air warms and cools over day and year; left out: it stays as it is."""
    modbus: ModbusSettings = ModbusSettings()
    """How machines with `serve: modbus` are served."""
    mqtt: MqttSettings = MqttSettings()
    """How machines with `serve: mqtt` are served."""
    machines: tuple[MachineSettings, ...]
    """The machines."""
    faults: tuple[FaultSettings, ...] = ()
    """What goes wrong, and when."""
    campaign: CampaignSettings | None = None
    """Faults at random, on top of these."""
    truth: Path | None = None
    """File that gets one JSON line for every start, failure and stop of a fault; it is written anew at each run."""
    control: LoopbackAddress | None = None
    """Where `fieldline plant` commands are taken, like 127.0.0.1:5021; left out: nowhere."""

    @property
    def step_s(self) -> float:
        """The step in seconds."""
        return self.step_ms / 1000.0

    @property
    def shared_clock(self) -> ScaledClock | None:
        """The clock to go by; None: the wall's."""
        return ScaledClock.parse(self.clock) if self.clock else None

    @property
    def start_s(self) -> float | None:
        """Unix time of the beginning; None: now."""
        if self.start is None:
            return None
        moment = datetime.fromisoformat(self.start)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def placed(self) -> tuple[Placed, ...]:
        """All machines, in the order of the file, with `count` written out."""
        return tuple(machine for _, machine in _expand(self))

    @pydantic.model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.machines:
            raise _at(("machines",), "is empty; add a machine like {name: pump-1, model: pump, serve: modbus}")
        if self.clock and (self.start is not None or self.time_scale != 1.0):
            raise _at(("clock",), "says when plant time begins and how fast it runs; remove start and time_scale")
        machines = _check_machines(self)
        for index, machine in enumerate(self.machines):
            if machine.calendar is not None and machine.calendar not in self.calendars:
                known = ", ".join(self.calendars) or "none; add it to calendars:"
                message = f"there is no calendar {machine.calendar!r}; calendars: {known}"
                raise _at(("machines", index, "calendar"), message)
        for index, fault in enumerate(self.faults):
            _check_fault(fault, machines, ("faults", index))
        if self.campaign is not None:
            for name in self.campaign.machines or ():
                if name not in machines:
                    raise _at(("campaign", "machines"), _no_machine(name, machines))
        _check_serial(self, machines)
        return self


def _check_fault(fault: FaultSettings, machines: dict[str, Placed], here: tuple[str | int, ...]) -> None:
    if fault.machine not in machines:
        raise _at((*here, "machine"), _no_machine(fault.machine, machines))
    blueprint = machines[fault.machine].blueprint
    if blueprint is None:
        return  # the signals of a replay are known when its file has been read
    try:
        moved_signals(fault.kind, blueprint, fault.signal, fails=fault.fails)
    except ValueError as error:
        key = "fails" if fault.fails else "signal" if fault.signal else "kind"
        raise _at((*here, key), str(error)) from None


def _no_machine(name: str, machines: dict[str, Placed]) -> str:
    return f"there is no machine {name!r}; machines: {', '.join(list(machines)[:8])}"


def _check_serial(settings: PlantSettings, machines: dict[str, Placed]) -> None:
    used = {each.place.listener for each in machines.values() if each.place is not None}
    for index, line in enumerate(settings.modbus.serial):
        if line.listener not in used:
            known = ", ".join(map(str, sorted(used)[:8])) or "none"
            raise _at(("modbus", "serial", index, "listener"), f"{line.listener} has no machines; with some: {known}")


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


def _check_feeds(entry: _Machine, found: dict[str, Placed], here: tuple[str | int, ...]) -> None:
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
        blueprint = entry.blueprint
        if isinstance(entry, ModbusMachineSettings):
            place = _first_place(entry, following)
        for name in _names(entry):
            period_ms = entry.period_ms if isinstance(entry, MqttMachineSettings) else 0
            yield (
                index,
                Placed(
                    name=name,
                    area=entry.area,
                    model=entry.model,
                    make=entry.make,
                    feeds=entry.feeds,
                    place=place,
                    period_ms=period_ms,
                    blueprint=blueprint,
                    calendar=entry.calendar,
                    monitor=entry.monitor,
                    replay=entry.replay,
                ),
            )
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


def _names(entry: _Machine) -> list[str]:
    if entry.count is None:
        return [entry.name]
    digits = max(3, len(str(entry.count)))
    return [f"{entry.name}-{number:0{digits}}" for number in range(1, entry.count + 1)]
