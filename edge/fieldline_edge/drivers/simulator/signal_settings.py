"""The signals of a custom machine and the registers of one, as the plant file says them. Pure."""

from typing import Annotated, Literal, Self

import pydantic

from fieldline.config import Settings
from fieldline.topics import check_name
from fieldline_edge.drivers.simulator.custom import Law
from fieldline_edge.drivers.simulator.kinds import CONDITIONS, FaultKind
from fieldline_edge.drivers.simulator.registers import Kind, Register
from fieldline_edge.drivers.simulator.signals import Form, Signal

__all__ = ["RegisterSettings", "SignalSettings", "check_map"]

_ADDRESSES = 65_536
_Name = Annotated[str, pydantic.AfterValidator(check_name)]
_Type = Literal[
    "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
    "bcd16", "bcd32", "bcd64", "string",
]  # fmt: skip


class RegisterSettings(Settings):
    """Where a device tells a signal over Modbus."""

    kind: Kind = Kind.HOLDING
    """Which of the four tables it is in."""
    address: int = pydantic.Field(ge=0, lt=_ADDRESSES)
    """Address of the first register, counted from 0."""
    type: _Type = "float32"
    """What the registers make together."""
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """Order of the bytes of a value."""
    scale: float = pydantic.Field(default=1.0, gt=0)
    """The value is what is in the registers times this."""
    bit: int | None = pydantic.Field(default=None, ge=0, le=15)
    """For a bool in an input or holding register: its bit, 0 being the lowest."""
    length: int = pydantic.Field(default=8, ge=1, le=125)
    """For a string: how many registers it takes."""

    @pydantic.model_validator(mode="after")
    def _check_type(self) -> Self:
        bits = self.kind in (Kind.COIL, Kind.DISCRETE)
        if bits and self.type != "bool":
            raise ValueError(f"a {self.kind.value} holds a bool and no {self.type}; choose kind: holding or input")
        if self.bit is not None and (bits or self.type != "bool"):
            raise ValueError("bit: is for a bool in an input or holding register; remove it")
        if self.address + self.register("").words > _ADDRESSES:
            raise ValueError(f"a {self.type} at {self.address} passes address 65535; lower the address")
        return self

    def register(self, signal: str) -> Register:
        """The register of `signal`."""
        length = self.length if self.type == "string" else 0
        return Register(signal, self.kind, self.address, self.type, self.order, self.scale, self.bit, length)


class SignalSettings(Settings):
    """One signal of a custom machine: base + what moves it, with inertia, and the sensor that tells it.

    The signal `running` is the motor's state and `text` makes a signal that never changes; both need nothing else.
    """

    unit: str = ""
    """Unit of measure."""
    form: Literal["float", "int", "bool"] = "float"
    """How it is told: a number, a whole number, or whether the value is 0.5 or more."""
    text: str | None = None
    """A text that the signal always says, such as a serial number."""
    base: float = 0.0
    """Its value while nothing moves it; where a counter starts."""
    load: float = 0.0
    """What the machine's load adds at full load."""
    speed: float = 0.0
    """What the machine's speed adds at full speed."""
    ambient: float = 0.0
    """What one degree of the plant's seasons adds."""
    follows: dict[_Name, float] = pydantic.Field(default_factory=dict)
    """What one unit of another signal, which stands above this one, adds."""
    on_fault: dict[FaultKind, float] = pydantic.Field(default_factory=dict)
    """What a fault of full severity adds, by kind of wear, like {bearing_wear: 7}."""
    inertia_s: float = pydantic.Field(default=0.0, ge=0)
    """Time constant of its way to a new value; 0: at once."""
    wander: float = pydantic.Field(default=0.0, ge=0)
    """Standard deviation of a slow movement of the true value."""
    wander_s: float = pydantic.Field(default=20.0, gt=0)
    """Time constant of that movement."""
    counter: bool = False
    """Add up what the lines above make, per second, from `base` on; a reboot sets it to 0."""
    low: float = -1e9
    """Least the sensor can tell."""
    high: float = 1e9
    """Greatest the sensor can tell; spikes and drifts are sized by the range."""
    noise: float = pydantic.Field(default=0.0, ge=0)
    """Standard deviation of the sensor's noise."""
    resolution: float = pydantic.Field(default=0.0, ge=0)
    """Smallest step of the sensor."""
    modbus: RegisterSettings | None = None
    """Where it is told over Modbus; left out: not at all."""

    @pydantic.model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; swap them")
        for kind in self.on_fault:
            if kind not in CONDITIONS:
                known = ", ".join(each.value for each in CONDITIONS)
                raise ValueError(f"on_fault: {kind.value} is no wear; use one of {known}")
        if self.modbus is not None and (self.modbus.type == "string") != (self.text is not None):
            raise ValueError("a text needs a register of type string, and a string needs a text; change one of them")
        return self

    def law(self, name: str) -> Law:
        """The physics of the signal called `name`."""
        form = Form.TEXT if self.text is not None else Form.BOOL if name == "running" else Form(self.form)
        return Law(
            signal=Signal(name, self.unit, self.low, self.high, self.noise, self.resolution, form, self.text or ""),
            base=self.base,
            load=self.load,
            speed=self.speed,
            ambient=self.ambient,
            follows=tuple(self.follows.items()),
            on_fault=tuple(self.on_fault.items()),
            inertia_s=self.inertia_s,
            wander=self.wander,
            wander_s=self.wander_s,
            counter=self.counter,
        )


def check_map(registers: list[Register]) -> None:
    """ValueError, with both signals, if two registers want the same place; bits of one word may share it."""
    taken: dict[tuple[Kind, int], Register] = {}
    bits: set[tuple[Kind, int, int]] = set()
    for each in registers:
        for address in range(each.address, each.address + each.words):
            other = taken.setdefault((each.kind, address), each)
            both_bits = other.bit is not None and each.bit is not None
            if other is not each and not both_bits:
                place = f"{each.kind.value} {address}"
                raise ValueError(f"{each.signal} and {other.signal} both want {place}; move one of them")
        if each.bit is not None:
            place_of_bit = (each.kind, each.address, each.bit)
            if place_of_bit in bits:
                raise ValueError(f"{each.signal}: bit {each.bit} of {each.address} is taken; choose another")
            bits.add(place_of_bit)
