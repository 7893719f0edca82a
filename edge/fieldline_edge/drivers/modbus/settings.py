"""Settings of a Modbus device, checked before anything is asked of it."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fieldline_edge.drivers.modbus.line_settings import LineSettings
from fieldline_edge.drivers.settings import DeviceSettings, TagSettings, check_unique_names

__all__ = ["ModbusDeviceSettings", "ModbusTagSettings", "Order", "RegisterKind", "RegisterType"]

ADDRESS_MAX = 65_535
REGISTERS_PER_REQUEST_MAX = 125


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
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def width(self) -> int:
        """How many addresses a value takes."""
        return 1 if self is RegisterType.BOOL else int(self.value[-2:]) // 16


class Order(Enum):
    """In which order the bytes of a value arrive. A is the most significant byte of a 32-bit value.

    Longer and shorter values follow the same two questions: are the bytes of each register swapped (BADC,
    DCBA), and does the least significant register come first (CDAB, DCBA)?
    """

    ABCD = "ABCD"
    BADC = "BADC"
    CDAB = "CDAB"
    DCBA = "DCBA"


class ModbusTagSettings(TagSettings):
    """One value in the registers of a device."""

    kind: RegisterKind = RegisterKind.HOLDING
    """Table the value stands in: holding, input, coil or discrete."""
    address: int = Field(ge=0, le=ADDRESS_MAX)
    """Address as on the wire, from 0: what a manual calls holding register 40001 is kind holding, address 0.
    """
    type: RegisterType
    """bool, int16, uint16, int32, uint32, int64, uint64, float32 or float64."""
    order: Order = Order.ABCD
    """Byte order: ABCD (big-endian), CDAB (words swapped), BADC (bytes swapped), DCBA (little-endian)."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Bit of a register that a bool is read from; 0 is the least significant."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "ModbusTagSettings":
        last = self.address + self.type.width - 1
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
        if self.type is RegisterType.BOOL and self.is_scaled:
            raise ValueError("type: bool has no scale, offset, min or max; remove them")
        return self

    def _check_bit_kind(self) -> None:
        if self.type is not RegisterType.BOOL:
            raise ValueError(f"type: {self.type.value} does not fit kind {self.kind.value}; write 'type: bool'")
        if self.bit is not None:
            raise ValueError(f"bit: a {self.kind.value} is one bit already; remove 'bit'")


class ModbusDeviceSettings(LineSettings, DeviceSettings):
    """One unit on a Modbus line."""

    driver: Literal["modbus"]
    """Says that this is a Modbus device."""
    period_ms: int = Field(default=1000, ge=20, le=86_400_000)
    """How often the device is read, in milliseconds, aligned to the clock."""
    registers_per_request_max: int = Field(default=REGISTERS_PER_REQUEST_MAX, ge=1, le=REGISTERS_PER_REQUEST_MAX)
    """Most registers one request may ask for; coils and discrete inputs may be 16 times as many."""
    gap_registers_max: int = Field(default=0, ge=0, le=REGISTERS_PER_REQUEST_MAX)
    """How many addresses that nobody asked for one request may read over, to save a second request."""
    tags: Annotated[tuple[ModbusTagSettings, ...], Field(min_length=1)]
    """The values to read."""

    @model_validator(mode="after")
    def _tags_are_right(self) -> "ModbusDeviceSettings":
        check_unique_names(self.tags)
        for tag in self.tags:
            if tag.type.width > self.registers_per_request_max:
                raise ValueError(
                    f"registers_per_request_max: {self.registers_per_request_max} is less than the "
                    f"{tag.type.width} registers of tag {tag.name!r} ({tag.type.value}); raise it, because a "
                    "value is never read in two halves"
                )
        return self
