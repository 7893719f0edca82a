"""Settings of one value in the registers of a Modbus device: where it stands, and how its bits are read."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from fieldline_edge.drivers.modbus.write_settings import WritableSettings, why_not_written
from fieldline_edge.drivers.settings import TagSettings

__all__ = [
    "ADDRESS_MAX",
    "Encoding",
    "Half",
    "ModbusTagSettings",
    "Order",
    "RegisterKind",
    "RegisterType",
    "Strip",
    "invalid_raws",
    "labels",
]

ADDRESS_MAX = 65_535
_TEXT_BYTES_MAX = 250  # what one request can carry
_NO_DIGITS = re.compile(r"\D+")
_HEXADECIMAL = re.compile(r"-?0x[0-9a-fA-F]{1,16}\Z")


class RegisterKind(Enum):
    """The four tables of a Modbus device."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"

    @property
    def is_bits(self) -> bool:
        """Whether an address of this kind holds one bit and not 16."""
        return self in (RegisterKind.COIL, RegisterKind.DISCRETE)


class RegisterType(Enum):
    """How registers make a value."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    BCD64 = "bcd64"
    STRING = "string"

    @property
    def bits(self) -> int:
        """How many bits a value has: 1 for a bool, 0 for a string, whose length is a setting."""
        if self in (RegisterType.BOOL, RegisterType.STRING):
            return int(self is RegisterType.BOOL)
        return int(_NO_DIGITS.sub("", self.value))

    @property
    def is_float(self) -> bool:
        """Whether it can be NaN or infinite."""
        return self in (RegisterType.FLOAT16, RegisterType.FLOAT32, RegisterType.FLOAT64)

    @property
    def is_integer(self) -> bool:
        """Whether it is a plain binary integer of 8 to 64 bits."""
        return "int" in self.value

    @property
    def is_signed(self) -> bool:
        """Whether the highest bit is a sign."""
        return self.value.startswith("int")

    @property
    def is_bcd(self) -> bool:
        """Whether every 4 bits are one decimal digit."""
        return self.value.startswith("bcd")


class Order(Enum):
    """In which order the bytes of a value arrive. A is the most significant byte of a 32-bit value.

    Longer and shorter values follow the same two questions: are the bytes of each register swapped (BADC,
    DCBA), and does the least significant register come first (CDAB, DCBA)? Texts have no most significant
    register, so that only the first question counts for them.
    """

    ABCD = "ABCD"
    BADC = "BADC"
    CDAB = "CDAB"
    DCBA = "DCBA"

    @property
    def swaps_bytes(self) -> bool:
        """Whether the bytes of each register are swapped."""
        return self in (Order.BADC, Order.DCBA)

    @property
    def swaps_words(self) -> bool:
        """Whether the least significant register comes first."""
        return self in (Order.CDAB, Order.DCBA)


class Half(Enum):
    """Which byte of a register an 8-bit value is."""

    HIGH = "high"
    LOW = "low"


class Encoding(Enum):
    """How the bytes of a text are read."""

    ASCII = "ascii"
    LATIN_1 = "latin-1"
    UTF_8 = "utf-8"


class Strip(Enum):
    """What is padding in a text and cut off."""

    PADDING = "padding"
    NUL = "nul"
    NONE = "none"


def _integer(value: Any) -> Any:
    """`0x8000` in quotes or as a key arrives as text."""
    return int(value, 16) if isinstance(value, str) and _HEXADECIMAL.match(value) else value


Raw = Annotated[int, BeforeValidator(_integer), Field(ge=-(1 << 63), lt=1 << 64)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ModbusTagSettings(TagSettings):
    """One value in the registers of a device."""

    kind: RegisterKind = RegisterKind.HOLDING
    """Table the value stands in: holding, input, coil or discrete."""
    address: int = Field(ge=0, le=ADDRESS_MAX)
    """Address as on the wire, from 0: what a manual calls holding register 40001 is kind holding, address 0.
    """
    type: RegisterType
    """bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64, bcd16, bcd32, bcd64
    or string."""
    order: Order | None = None
    """Byte order: ABCD (big-endian), CDAB (words swapped), BADC (bytes swapped), DCBA (little-endian); left out: the
    order of the device."""
    group: str | None = None
    """Poll group of the device that reads this tag; left out: the device's own period."""
    read_alone: bool = False
    """true for a register that must not share a request with others, because it disturbs them or is cleared by it."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Bit of a register that a bool is read from; 0 is the least significant."""
    half: Half | None = None
    """Byte of a register that an int8 or uint8 is read from: high or low; left out: low."""
    length_registers: int | None = Field(default=None, ge=1, le=_TEXT_BYTES_MAX // 2)
    """Length of a string in registers, two characters each."""
    length_bytes: int | None = Field(default=None, ge=1, le=_TEXT_BYTES_MAX)
    """Length of a string in characters of one byte, where a manual says that."""
    encoding: Encoding = Encoding.UTF_8
    """How the bytes of a string are read: ascii, latin-1 or utf-8; bytes that do not fit make it BAD_PARSE."""
    strip: Strip = Strip.PADDING
    """What is cut off a string: padding (from the first NUL on, and blanks at both ends), nul, or none."""
    mask: Raw | None = None
    """Only these bits of an integer count, like 0x0FF0."""
    shift: int = Field(default=0, ge=0, le=63)
    """How far an integer is moved to the right, after `mask`."""
    invalid: tuple[Raw | float, ...] = Field(default=(), max_length=16)
    """Raw values by which the device says that it has none, like 0x8000; as bits or as a number. Quality BAD."""
    writable: WritableSettings | None = None
    """Allows commands to write the tag, within limits of its own; left out: it is only read."""
    map: dict[Raw, Label] = Field(default_factory=dict, max_length=256)
    """Texts for raw numbers, like {0: stopped, 1: running}; a number that is not there is BAD_PARSE."""

    @property
    def width(self) -> int:
        """How many addresses the value takes."""
        if self.type is RegisterType.STRING:
            return (self.text_bytes + 1) // 2
        return max(1, self.type.bits // 16)

    @property
    def text_bytes(self) -> int:
        """How many bytes of a string count."""
        return self.length_bytes or 2 * (self.length_registers or 0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "ModbusTagSettings":
        self._check_string()
        last = self.address + self.width - 1
        if last > ADDRESS_MAX:
            raise ValueError(
                f"address: {self.address} with type {self.type.value} ends at {last}, "
                f"beyond the last address {ADDRESS_MAX}; check the address"
            )
        if self.kind.is_bits:
            self._check_bit_kind()
        elif self.type is RegisterType.BOOL and self.bit is None:
            raise ValueError(f"type: bool needs 'bit: 0' to 'bit: 15' in a {self.kind.value} register; add it")
        elif self.type is not RegisterType.BOOL and self.bit is not None:
            raise ValueError(f"bit: {self.bit} belongs to 'type: bool', not to {self.type.value}; change one of them")
        if self.half is not None and self.type.bits != 8:
            raise ValueError(f"half: belongs to int8 and uint8, not to {self.type.value}; remove it")
        if self.type in (RegisterType.BOOL, RegisterType.STRING) and self.is_scaled:
            raise ValueError(f"type: {self.type.value} has no scale, offset, min or max; remove them")
        if self.anomaly is not None and (self.type in (RegisterType.BOOL, RegisterType.STRING) or self.map):
            raise ValueError("anomaly: learns numbers, and this tag has none; remove it")
        self._check_raw()
        if self.writable is not None and (why := why_not_written(self)):
            raise ValueError(f"writable: {why}")
        return self

    def _check_bit_kind(self) -> None:
        if self.type is not RegisterType.BOOL:
            raise ValueError(f"type: {self.type.value} does not fit kind {self.kind.value}; write 'type: bool'")
        if self.bit is not None:
            raise ValueError(f"bit: a {self.kind.value} is one bit already; remove 'bit'")

    def _check_string(self) -> None:
        lengths = [n for n in (self.length_registers, self.length_bytes) if n is not None]
        if self.type is not RegisterType.STRING:
            given = self.model_fields_set & {"length_registers", "length_bytes", "encoding", "strip"}
            if given:
                raise ValueError(f"{min(given)}: belongs to 'type: string', not to {self.type.value}; remove it")
        elif len(lengths) != 1:
            raise ValueError("type: string needs 'length_registers' or 'length_bytes', one of them; add how long it is")

    def _check_raw(self) -> None:
        """`mask`, `shift`, `invalid` and `map` speak of the raw number."""
        kind = self.type
        if (self.mask is not None or self.shift) and (not kind.is_integer or kind.is_signed):
            raise ValueError(
                f"mask: mask and shift need an unsigned type, not {kind.value}; write uint{kind.bits or 16}"
            )
        if self.invalid and kind in (RegisterType.BOOL, RegisterType.STRING):
            raise ValueError(f"invalid: has no meaning for {kind.value}; remove it")
        if self.map and (kind.is_float or kind is RegisterType.STRING):
            raise ValueError(f"map: needs whole numbers, not {kind.value}; remove it, or change the type")
        if self.map and self.is_scaled:
            raise ValueError("map: gives texts, which have no scale, offset, min or max; remove them")
        wrong = _beyond(self.invalid, kind)
        if wrong is not None:
            raise ValueError(f"invalid: {wrong:g} can never be a {kind.value}; correct it, or the type")


def _beyond(invalid: tuple[float, ...], kind: RegisterType) -> float | None:
    """The first raw value that the type cannot have, neither as a number nor as bits."""
    if kind.is_float:
        return None
    highest = 10 ** (kind.bits // 4) if kind.is_bcd else 1 << kind.bits
    lowest = -(highest >> 1) if kind.is_signed else 0
    return next((raw for raw in invalid if not lowest <= raw < highest or raw != int(raw)), None)


def invalid_raws(tag: ModbusTagSettings) -> frozenset[float]:
    """`invalid` as the type reads it: 0x8000 of an int16 is -32768."""
    if not tag.type.is_signed:
        return frozenset(tag.invalid)
    half = 1 << (tag.type.bits - 1)
    return frozenset(raw - 2 * half if raw >= half else raw for raw in tag.invalid)


def labels(tag: ModbusTagSettings) -> Mapping[int, str]:
    """`map` as the type reads it: 0xFFFF of an int16 is -1."""
    if not tag.type.is_signed:
        return tag.map
    half = 1 << (tag.type.bits - 1)
    return {raw - 2 * half if raw >= half else raw: text for raw, text in tag.map.items()}
