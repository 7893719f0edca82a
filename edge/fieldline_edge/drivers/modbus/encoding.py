"""From a value to the bits a device is to take: what `registers` reads, the other way round. Pure."""

import math
import struct

from fieldline.model import Value
from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings, Order, RegisterType, labels

__all__ = ["NotWritten", "encode"]

_FLOATS = {RegisterType.FLOAT16: "e", RegisterType.FLOAT32: "f", RegisterType.FLOAT64: "d"}


class NotWritten(ValueError):
    """Why a value cannot be written to a tag."""


def encode(tag: ModbusTagSettings, value: Value, *, order: Order = Order.ABCD) -> tuple[int, ...]:
    """The words of a holding register tag, or the one bit of a coil. NotWritten if the value does not fit.

    A number is divided by the tag's scale after its offset was taken away, and for an integer rounded to the nearest
    it can hold. `order` is for a tag without an order of its own.
    """
    if tag.type is RegisterType.BOOL:
        if tag.map and isinstance(value, str):
            return (int(_raw(tag, value)),)
        if not isinstance(value, bool):
            raise NotWritten(f"{value!r} is neither true nor false, which is what {tag.name!r} takes")
        return (int(value),)
    raw = _raw(tag, value)
    if tag.type.is_float:
        try:
            data = struct.pack(">" + _FLOATS[tag.type], raw)
        except OverflowError:
            raise NotWritten(f"{value!r} is too large for a {tag.type.value}") from None
    else:
        data = _integer(tag, raw, value).to_bytes(tag.type.bits // 8, "big")
    words = struct.unpack(f">{len(data) // 2}H", data)
    wanted = tag.order or order
    if wanted.swaps_words:
        words = words[::-1]
    if wanted.swaps_bytes:
        words = tuple((word & 0xFF) << 8 | word >> 8 for word in words)
    return words


def _raw(tag: ModbusTagSettings, value: Value) -> float:
    if tag.map:
        numbers = {text: raw for raw, text in labels(tag).items()}
        if not isinstance(value, str) or value not in numbers:
            raise NotWritten(f"{value!r} is none of {', '.join(map(repr, numbers))}")
        return numbers[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotWritten(f"{value!r} is no number, which is what {tag.name!r} takes")
    if tag.scale == 1 and tag.offset == 0:
        return value
    return (value - tag.offset) / tag.scale


def _integer(tag: ModbusTagSettings, raw: float, value: Value) -> int:
    """As an unsigned number of the type's size, two's complement."""
    whole, bits = round(raw), tag.type.bits
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if tag.type.is_signed else (0, (1 << bits) - 1)
    if tag.scale == 1 and tag.offset == 0 and whole != raw:
        raise NotWritten(f"{value!r} is no whole number, and {tag.type.value} holds nothing else")
    if not lowest <= whole <= highest:
        raise NotWritten(f"{value!r} is {whole} in the device, outside {lowest} to {highest} of {tag.type.value}")
    return whole % (1 << bits)
