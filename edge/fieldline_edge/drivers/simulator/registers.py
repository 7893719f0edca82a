"""The register map of every model, and the words a machine answers with. Pure.

`order` names how a device lays out the bytes of a value of several registers: ABCD is big-endian, CDAB has
the words turned round, BADC the bytes within each word, DCBA both. 64-bit values follow the same rule over
four words.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from fieldline_edge.drivers.simulator.machines import MODELS
from fieldline_edge.drivers.simulator.plant import Machine
from fieldline_edge.drivers.simulator.signals import SignalValue

__all__ = ["REGISTERS", "Bank", "Kind", "Register", "register_table"]


class Kind(Enum):
    """The four tables of a Modbus device."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


_FORMATS = {
    "bool": "?",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}


@dataclass(frozen=True, slots=True)
class Register:
    """Where and how a device tells one signal: the value is what is in the registers times `scale`."""

    signal: str
    kind: Kind
    address: int
    type: str
    order: str = "ABCD"
    scale: float = 1.0

    @property
    def words(self) -> int:
        """How many addresses it takes."""
        return max(struct.calcsize(">" + _FORMATS[self.type]) // 2, 1)

    def pack(self, value: SignalValue) -> Sequence[int]:
        """`value` as the content of its addresses; struct.error if it does not fit the type."""
        if self.type == "bool":
            return (int(value),)
        number = value if self.type.startswith("float") else round(value / self.scale)
        data = struct.pack(">" + _FORMATS[self.type], number)
        layout = "<" if self.order in ("BADC", "DCBA") else ">"
        words = struct.unpack(f"{layout}{len(data) // 2}H", data)
        return words[::-1] if self.order in ("CDAB", "DCBA") else words


def _motor(order: str) -> tuple[Register, ...]:
    """What all models with a motor share; `order` is that of their floats, so that a plant shows several."""
    return (
        Register("running", Kind.COIL, 0, "bool"),
        Register("alarm", Kind.DISCRETE, 0, "bool"),
        Register("speed", Kind.INPUT, 0, "uint16"),
        Register("temperature", Kind.INPUT, 1, "int16", scale=0.1),
        Register("bearing_temperature", Kind.INPUT, 2, "int16", scale=0.1),
        Register("vibration", Kind.INPUT, 3, "uint16", scale=0.01),
        Register("current", Kind.INPUT, 4, "uint16", scale=0.01),
        Register("load", Kind.INPUT, 5, "uint16", scale=0.1),
        Register("pressure", Kind.HOLDING, 0, "float32", order),
        Register("flow", Kind.HOLDING, 2, "float32", order),
        Register("power", Kind.HOLDING, 4, "float32", order),
        Register("running_hours", Kind.HOLDING, 6, "uint32", "CDAB", scale=0.001),
    )


REGISTERS: Mapping[str, tuple[Register, ...]] = {
    "pump": _motor("ABCD"),
    "fan": _motor("CDAB"),
    "compressor": _motor("BADC"),
    "meter": (
        Register("voltage", Kind.INPUT, 0, "uint16", scale=0.1),
        Register("frequency", Kind.INPUT, 1, "uint16", scale=0.01),
        Register("power_factor", Kind.INPUT, 2, "uint16", scale=0.001),
        Register("current", Kind.INPUT, 3, "float32"),
        Register("power", Kind.INPUT, 5, "float32"),
        Register("energy", Kind.INPUT, 7, "int64"),
    ),
    "climate": (
        Register("temperature", Kind.INPUT, 0, "int16", scale=0.1),
        Register("humidity", Kind.INPUT, 1, "uint16", scale=0.1),
        Register("co2", Kind.INPUT, 2, "uint16"),
    ),
    "registers50": tuple(
        Register(signal.name, Kind.HOLDING, index, "uint16")
        for index, signal in enumerate(MODELS["registers50"].SIGNALS)
    ),
}


class _Table:
    """The addresses of one kind on one machine: from the first of the map to the last, without holes."""

    def __init__(self, registers: Sequence[Register]) -> None:
        self.registers = sorted(registers, key=lambda each: each.address)
        self.start = self.registers[0].address if self.registers else 0
        self.words: list[int] = []
        self.revision = -1


class Bank:
    """All registers of one machine. What it answers is the machine's values at the moment of the question."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        registers = REGISTERS[machine.placed.model]
        self._tables = {kind: _Table([each for each in registers if each.kind is kind]) for kind in Kind}

    @property
    def answering(self) -> bool:
        """False while the machine is to be silent."""
        return self._machine.answering

    def read(self, kind: Kind, address: int, count: int) -> list[int] | None:
        """`count` words (or bits as 0 and 1) from `address`; None if the map has not all of them."""
        table = self._tables[kind]
        if table.revision != self._machine.revision:
            values = self._machine.values
            table.words = [word for each in table.registers for word in each.pack(values[each.signal])]
            table.revision = self._machine.revision
        first = address - table.start
        if first < 0 or first + count > len(table.words):
            return None
        return table.words[first : first + count]

    def write(self, kind: Kind, address: int, values: Sequence[int | bool]) -> bool:
        """Do what a write asks for; False if that address cannot be written. Only `running` can."""
        if kind is not Kind.COIL or len(values) != 1:
            return False
        for register in self._tables[kind].registers:
            if register.address == address and register.signal == "running":
                self._machine.switch(running=bool(values[0]))
                return True
        return False


def register_table(model: str) -> str:
    """The map of `model` as a Markdown table."""
    units = {signal.name: signal.unit for signal in MODELS[model].SIGNALS}
    lines = ["| signal | kind | address | type | order | scale | unit |", "|---|---|---|---|---|---|---|"]
    for each in REGISTERS[model]:
        order = each.order if each.words > 1 else ""
        scale = "" if each.scale == 1.0 else f"{each.scale:g}"
        place = f"{each.kind.value} | {each.address} | {each.type}"
        lines.append(f"| {each.signal} | {place} | {order} | {scale} | {units[each.signal]} |")
    return "\n".join(lines)
