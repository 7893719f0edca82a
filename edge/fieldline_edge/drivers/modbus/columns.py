"""Values of one kind that stand in the answer to one request, decoded together. Pure.

A column knows where its values stand and does with a few calls for all what would otherwise take several calls
each: `map` over a column runs at the speed of C, and the judgement "all are fine" is one pass.

All four orders come out of two packings and two endiannesses. Writing the words of an answer down as bytes
once big-endian and once little-endian (which swaps the bytes of every word) turns any order into a plain big-
or little-endian number:

    on the wire   packed          then read
    ABCD          big             big-endian
    DCBA          big             little-endian
    BADC          little: ABCD    big-endian
    CDAB          little: DCBA    little-endian
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add, and_, contains, itemgetter, le, mul, truediv
from typing import Any, Protocol

from fieldline.model import Quality, Value
from fieldline_edge.drivers.modbus.tag_settings import Half, ModbusTagSettings, Order, RegisterType, invalid_raws
from fieldline_edge.drivers.modbus.values import Convert, converter
from fieldline_edge.drivers.scaling import judged, whole_divisor
from fieldline_edge.drivers.settings import OutOfRange

__all__ = ["Answer", "Column", "columns"]

_FORMATS = {
    RegisterType.INT8: "b",
    RegisterType.UINT8: "B",
    RegisterType.INT16: "h",
    RegisterType.UINT16: "H",
    RegisterType.INT32: "i",
    RegisterType.UINT32: "I",
    RegisterType.INT64: "q",
    RegisterType.UINT64: "Q",
    RegisterType.FLOAT16: "e",
    RegisterType.FLOAT32: "f",
    RegisterType.FLOAT64: "d",
    RegisterType.BCD16: "H",
    RegisterType.BCD32: "I",
    RegisterType.BCD64: "Q",
}

Judged = tuple[Iterable[Value], Iterable[Quality] | None]


class Answer:
    """The words (or bits) of one answer, and their bytes in both packings, each made when first asked for."""

    __slots__ = ("_bytes", "words")

    def __init__(self, words: Sequence[int]) -> None:
        self.words = words
        self._bytes: list[bytes | None] = [None, None]

    def packed(self, *, little: bool) -> bytes:
        """All words as bytes, little- or big-endian each."""
        data = self._bytes[little]
        if data is None:
            data = self._bytes[little] = struct.pack(f"{'<' if little else '>'}{len(self.words)}H", *self.words)
        return data


class Column(Protocol):
    """Some tags of one block."""

    @property
    def tags(self) -> Sequence[ModbusTagSettings]:
        """Whose values it gives, in the order it gives them."""
        ...

    def read(self, answer: Answer) -> Judged:
        """The values, and their qualities where not all are GOOD."""
        ...


class Bits:
    """Coils, discrete inputs, and single bits of registers."""

    def __init__(self, tags: Sequence[ModbusTagSettings], start: int, order: Order) -> None:
        self.tags = tags
        positions = [tag.address - start for tag in tags]
        # Of a single position itemgetter gives no tuple, so the first stands there twice; `map` ends with the masks.
        self._words = itemgetter(*positions, positions[0])
        self._masks = [_mask(tag, order) for tag in tags]

    def read(self, answer: Answer) -> Judged:
        return map(bool, map(and_, self._words(answer.words), self._masks)), None


class _Packed:
    """What stands at fixed places in the bytes of an answer, in one order."""

    def __init__(self, tags: Sequence[ModbusTagSettings], start: int, order: Order) -> None:
        self.tags = tags
        # See the table above.
        self._little = order.swaps_bytes != order.swaps_words
        self._struct = struct.Struct(_format(tags, start, order))

    def raws(self, answer: Answer) -> tuple[Any, ...]:
        return self._struct.unpack_from(answer.packed(little=self._little))


class Plain(_Packed):
    """Integers taken as they are."""

    def read(self, answer: Answer) -> Judged:
        return self.raws(answer), None


class Numbers(_Packed):
    """Numbers with scale, offset, limits or values that mean nothing; and floats, which may be NaN."""

    def __init__(self, tags: Sequence[ModbusTagSettings], start: int, order: Order) -> None:
        super().__init__(tags, start, order)
        self._scale = mul
        divisors = [whole_divisor(tag.scale) for tag in tags]
        self._factors: list[float] = [tag.scale for tag in tags]
        if all(divisors):
            self._scale, self._factors = truediv, [divisor or 1 for divisor in divisors]
        self._offsets = [tag.offset for tag in tags]
        self._scales = tags[0].scale != 1 or tags[0].offset != 0
        self._lows = [-math.inf if tag.min is None else tag.min for tag in tags]
        self._highs = [math.inf if tag.max is None else tag.max for tag in tags]
        self._limits = any(map(math.isfinite, (*self._lows, *self._highs)))
        self._clamps = [tag.out_of_range is OutOfRange.CLAMP for tag in tags]
        self._invalid = [invalid_raws(tag) for tag in tags]
        self._may_be_invalid = any(self._invalid)

    def read(self, answer: Answer) -> Judged:
        raws = self.raws(answer)
        values: Sequence[float] = raws
        if self._scales:
            values = list(map(add, map(self._scale, raws, self._factors), self._offsets))
        if self._all_good(raws, values):
            return values, None
        pairs = list(map(self._judged, raws, values, self._invalid, self._lows, self._highs, self._clamps))
        return [value for value, _ in pairs], [quality for _, quality in pairs]

    def _all_good(self, raws: Sequence[float], values: Sequence[float]) -> bool:
        return (
            all(map(math.isfinite, values))
            and not (self._may_be_invalid and any(map(contains, self._invalid, raws)))
            and (not self._limits or (all(map(le, self._lows, values)) and all(map(le, values, self._highs))))
        )

    @staticmethod
    def _judged(
        raw: float, value: float, invalid: frozenset[float], low: float, high: float, clamp: bool
    ) -> tuple[Value, Quality]:
        return (None, Quality.BAD) if raw in invalid else judged(value, low, high, clamp=clamp)


class Converted(_Packed):
    """Values that take a function of their own: texts, decimal digits, masks, tables."""

    def __init__(self, tags: Sequence[ModbusTagSettings], start: int, order: Order) -> None:
        super().__init__(tags, start, order)
        self._converters: list[Convert] = [converter(tag) for tag in tags]

    def read(self, answer: Answer) -> Judged:
        pairs = [convert(raw) for convert, raw in zip(self._converters, self.raws(answer), strict=True)]
        return [value for value, _ in pairs], [quality for _, quality in pairs]


class ConvertedBits:
    """Bits with a text for each state."""

    def __init__(self, tags: Sequence[ModbusTagSettings], start: int, order: Order) -> None:
        self.tags = tags
        self._bits = Bits(tags, start, order)
        self._converters = [converter(tag) for tag in tags]

    def read(self, answer: Answer) -> Judged:
        bits, _ = self._bits.read(answer)
        pairs = [convert(bit) for convert, bit in zip(self._converters, bits, strict=True)]
        return [value for value, _ in pairs], [quality for _, quality in pairs]


@dataclass(frozen=True, slots=True)
class _Treatment:
    """Tags that agree in this share a column."""

    column: type[Bits | ConvertedBits | Plain | Numbers | Converted]
    order: Order
    is_scaled: bool = False
    is_divided: bool = False


def columns(tags: Sequence[ModbusTagSettings], start: int, order: Order) -> list[Column]:
    """The columns that give all `tags` of a block starting at address `start`; `order` is that of the device.

    Tags are taken by address. Those that overlap an earlier one of their column begin another column.
    """
    found: dict[tuple[_Treatment, int], list[ModbusTagSettings]] = {}
    ends: dict[tuple[_Treatment, int], int] = {}
    for tag in sorted(tags, key=lambda tag: _place(tag, start)[0]):
        treatment = _treatment(tag, order)
        begin, end = _place(tag, start)
        lane = 0
        while treatment.column not in (Bits, ConvertedBits) and ends.get((treatment, lane), 0) > begin:
            lane += 1
        found.setdefault((treatment, lane), []).append(tag)
        ends[treatment, lane] = end
    return [treatment.column(members, start, treatment.order) for (treatment, _), members in found.items()]


def _treatment(tag: ModbusTagSettings, order: Order) -> _Treatment:
    """Bytes have no order among registers, so that for texts and halves only the swap within a register counts."""
    kind = tag.type
    if kind is RegisterType.BOOL:
        return _Treatment(ConvertedBits if tag.map else Bits, order)
    order = tag.order or order
    if kind is RegisterType.STRING or kind.bits == 8:
        order = Order.BADC if order.swaps_bytes else Order.ABCD
    own = kind is RegisterType.STRING or kind.is_bcd or tag.map or tag.mask is not None or tag.shift
    scales = tag.scale != 1 or tag.offset != 0
    if own or (kind is RegisterType.UINT64 and not scales):  # which may not fit an int64
        return _Treatment(Converted, order)
    if kind.is_float or tag.is_scaled or tag.invalid:
        return _Treatment(Numbers, order, scales, scales and whole_divisor(tag.scale) is not None)
    return _Treatment(Plain, order)


def _place(tag: ModbusTagSettings, start: int) -> tuple[int, int]:
    """First byte and the byte after the last one, in the answer to a block that begins at `start`."""
    begin = 2 * (tag.address - start)
    if tag.type.bits == 8:
        begin += tag.half is not Half.HIGH
        return begin, begin + 1
    return begin, begin + 2 * tag.width


def _format(tags: Sequence[ModbusTagSettings], start: int, order: Order) -> str:
    """The struct format that unpacks exactly these tags and skips the bytes between them."""
    parts = ["<" if order.swaps_words else ">"]
    at = 0
    for tag in tags:
        begin, end = _place(tag, start)
        parts.append("x" * (begin - at))
        parts.append(_FORMATS.get(tag.type) or f"{end - begin}s")
        at = end
    return "".join(parts)


def _mask(tag: ModbusTagSettings, order: Order) -> int:
    """The bit of a register as it arrives: with its bytes swapped, bit 0 arrives as bit 8."""
    if tag.bit is None:
        return 1
    return 1 << (tag.bit ^ 8 if (tag.order or order).swaps_bytes else tag.bit)
