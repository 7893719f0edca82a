"""Register words to readings: types, byte orders, bits, scaling. Pure.

All four orders come out of two packings and two endiannesses. Writing the words of an answer down as bytes
once big-endian and once little-endian (which swaps the bytes of every word) turns any order into a plain big-
or little-endian number:

    on the wire   packed          then read
    ABCD          big             big-endian
    DCBA          big             little-endian
    BADC          little: ABCD    big-endian
    CDAB          little: DCBA    little-endian
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.modbus.plan import Block, Span, plan
from fieldline_edge.drivers.modbus.settings import (
    ModbusDeviceSettings,
    ModbusTagSettings,
    Order,
    RegisterType,
)
from fieldline_edge.drivers.scaling import Scaler, scaler

__all__ = ["BlockReader", "block_readers"]

_FORMATS = {
    RegisterType.BOOL: "H",
    RegisterType.INT16: "h",
    RegisterType.UINT16: "H",
    RegisterType.INT32: "i",
    RegisterType.UINT32: "I",
    RegisterType.INT64: "q",
    RegisterType.UINT64: "Q",
    RegisterType.FLOAT32: "f",
    RegisterType.FLOAT64: "d",
}
# order -> (words packed little-endian, number read little-endian)
_ORDERS = {
    Order.ABCD: (False, False),
    Order.DCBA: (False, True),
    Order.BADC: (True, False),
    Order.CDAB: (True, True),
}


@dataclass(frozen=True, slots=True)
class _Field:
    tag: str
    swapped: bool
    offset_bytes: int
    unpack: Callable[[bytes, int], tuple[float, ...]]
    bit: int | None
    scale: Scaler | None


class BlockReader:
    """Reads the answer to one block: knows its tags, and has everything looked up beforehand."""

    def __init__(self, block: Block, tags: Sequence[ModbusTagSettings]) -> None:
        """`tags` are the ones of this block, in the block's order."""
        self.block = block
        self.tag_names = tuple(tag.name for tag in tags)
        self._bits = [(tag.name, tag.address - block.address) for tag in tags] if block.kind.is_bits else []
        self._fields = [] if block.kind.is_bits else [_field(tag, block.address) for tag in tags]
        self._big = struct.Struct(f">{block.count}H")
        self._little = struct.Struct(f"<{block.count}H")
        self._needs_big = any(not field.swapped for field in self._fields)
        self._needs_little = any(field.swapped for field in self._fields)

    def read(self, answer: Sequence[int], at_ns: int) -> list[Reading]:
        """The readings in `answer`: exactly `block.count` words of 0..65535, or as many bits."""
        assert len(answer) == self.block.count, "the client checks the length"
        if self._bits:
            return [Reading(name, at_ns, bool(answer[position])) for name, position in self._bits]
        big = self._big.pack(*answer) if self._needs_big else b""
        little = self._little.pack(*answer) if self._needs_little else b""
        return [self._reading(field, little if field.swapped else big, at_ns) for field in self._fields]

    def marks(self, quality: Quality, at_ns: int) -> list[Reading]:
        """One reading without a value for each tag, saying why there is none."""
        return [Reading(name, at_ns, None, quality) for name in self.tag_names]

    @staticmethod
    def _reading(field: _Field, data: bytes, at_ns: int) -> Reading:
        raw = field.unpack(data, field.offset_bytes)[0]
        if field.bit is not None:
            return Reading(field.tag, at_ns, bool(int(raw) >> field.bit & 1))
        if field.scale is None:
            return Reading(field.tag, at_ns, raw)
        value, quality = field.scale(raw)
        return Reading(field.tag, at_ns, value, quality)


def block_readers(device: ModbusDeviceSettings) -> list[BlockReader]:
    """The requests that read all tags of a device, each with its reader."""
    spans = [Span(tag.kind, tag.address, tag.type.width) for tag in device.tags]
    blocks = plan(spans, registers_max=device.registers_per_request_max, gap_max=device.gap_registers_max)
    return [BlockReader(block, [device.tags[position] for position in block.spans]) for block in blocks]


def _field(tag: ModbusTagSettings, block_address: int) -> _Field:
    swapped, little = _ORDERS[tag.order]
    number = struct.Struct(("<" if little else ">") + _FORMATS[tag.type])
    # A float is always looked at, because it may be NaN, and a uint64, because it may not fit an int64.
    always = tag.type in (RegisterType.FLOAT32, RegisterType.FLOAT64, RegisterType.UINT64)
    scale = None
    if tag.type is not RegisterType.BOOL and (always or tag.is_scaled):
        scale = scaler(scale=tag.scale, offset=tag.offset, minimum=tag.min, maximum=tag.max)
    return _Field(tag.name, swapped, 2 * (tag.address - block_address), number.unpack_from, tag.bit, scale)
