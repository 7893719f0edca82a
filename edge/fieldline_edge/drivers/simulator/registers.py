"""Register maps: where and how a device tells each of its signals. Pure.

`order` names how a device lays out the bytes of a value of several registers: ABCD is big-endian, CDAB has
the words turned round, BADC the bytes within each word, DCBA both. 64-bit values follow the same rule over
four words.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from fieldline_edge.drivers.simulator.machines import MODELS
from fieldline_edge.drivers.simulator.signals import SignalValue

__all__ = ["REGISTERS", "TYPES", "Kind", "Register", "register_table"]


class Kind(Enum):
    """The four tables of a Modbus device."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


_FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
_BCD_WORDS = {"bcd16": 1, "bcd32": 2, "bcd64": 4}

TYPES = ("bool", *_FORMATS, *_BCD_WORDS, "string")
"""The types a register can have, under the names the gateway's Modbus driver gives them."""


@dataclass(frozen=True, slots=True)
class Register:
    """Where and how a device tells one signal: the value is what is in the registers times `scale`.

    `bit` puts a bool into one bit of a word, 0 being the lowest; several may share the address. `length` is how many
    registers a string takes. A BCD value has four decimal digits a register. A string is ASCII, padded with zeros.
    """

    signal: str
    kind: Kind
    address: int
    type: str
    order: str = "ABCD"
    scale: float = 1.0
    bit: int | None = None
    length: int = 0

    @property
    def words(self) -> int:
        """How many addresses it takes."""
        if self.type == "string":
            return self.length
        if self.type in _BCD_WORDS:
            return _BCD_WORDS[self.type]
        return max(struct.calcsize(">" + _FORMATS[self.type]) // 2, 1) if self.type in _FORMATS else 1

    def pack(self, value: SignalValue) -> Sequence[int]:
        """`value` as the content of its addresses; a number beyond the type becomes the nearest that fits."""
        if self.type == "bool":
            return (int(bool(value)) << (self.bit or 0),)
        if self.type == "string":
            data = str(value).encode("ascii", "replace")[: 2 * self.length].ljust(2 * self.length, b"\0")
        elif self.type in _BCD_WORDS:
            digits = 4 * _BCD_WORDS[self.type]
            data = bytes.fromhex(f"{min(max(self._raw(value), 0), 10**digits - 1):0{digits}}")
        elif self.type.startswith("float"):
            data = _pack_float(_FORMATS[self.type], float(value) / self.scale)
        else:
            low, high = _limits(_FORMATS[self.type])
            data = struct.pack(">" + _FORMATS[self.type], min(max(self._raw(value), low), high))
        layout = "<" if self.order in ("BADC", "DCBA") else ">"
        words = struct.unpack(f"{layout}{len(data) // 2}H", data)
        return words[::-1] if self.order in ("CDAB", "DCBA") else words

    def _raw(self, value: SignalValue) -> int:
        return int(value) if self.scale == 1.0 and isinstance(value, int) else round(float(value) / self.scale)


def _pack_float(form: str, number: float) -> bytes:
    try:
        return struct.pack(">" + form, number)
    except OverflowError:
        return struct.pack(">" + form, float("inf") if number > 0 else float("-inf"))


def _limits(form: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize(">" + form)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if form.islower() else (0, (1 << bits) - 1)


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
