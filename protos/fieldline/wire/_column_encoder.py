"""Integers of one column as deltas of order 0, 1 or 2, and many columns as byte planes."""

import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import islice, repeat
from math import log2
from operator import sub
from typing import NamedTuple

from fieldline.wire._modes import ARRAY_CODES, INT64_MAX, INT64_MIN, wrap

__all__ = ["Column", "encode_column", "estimate_bits", "planes"]


class Column(NamedTuple):
    """One column. `starts` are x0 and d0 as far as the order needs them, `residuals` are signed 64-bit."""

    order: int
    starts: tuple[int, ...]
    residuals: list[int]
    low: int
    high: int

    @property
    def width(self) -> int:
        """Bytes that hold the distance of any residual from the lowest one."""
        return ((self.high - self.low).bit_length() + 7) // 8


def encode_column(numbers: list[int]) -> Column:
    """`numbers` (one at least) in the order of deltas with the narrowest range.

    The range of the residuals proved a better judge than their sizes or their entropy: it is what the byte planes
    are cut to, and it costs two passes.
    """
    if len(numbers) == 1:
        number = numbers[0] if numbers[0] <= INT64_MAX else wrap(numbers[0])
        return Column(0, (), [number], number, number)
    return _best_column(numbers, _range_bits)


def estimate_bits(numbers: list[int]) -> float:
    """Roughly how many bits `numbers` need on the wire: comparable between ways to encode the same values.

    Unlike the range, the sum of sizes is not thrown by one reading that fits badly.
    """
    return _size_bits(_best_column(numbers, _size_bits))


def _best_column(numbers: list[int], bits: Callable[[Column], float]) -> Column:
    plain = _column(0, (), numbers)
    if plain.low == plain.high:
        return plain
    numbers = plain.residuals
    once = _column(1, (numbers[0],), _differences(numbers))
    candidates = [plain, once]
    # Where differences vary more than the numbers, those of the differences vary still more.
    if len(once.residuals) > 1 and 0 < once.high - once.low < plain.high - plain.low:
        candidates.append(_column(2, (numbers[0], once.residuals[0]), _differences(once.residuals)))
    return min(candidates, key=bits)


def _column(order: int, starts: tuple[int, ...], residuals: list[int]) -> Column:
    low, high = min(residuals), max(residuals)
    if low < INT64_MIN or high > INT64_MAX:
        residuals = list(map(wrap, residuals))
        low, high = min(residuals), max(residuals)
    return Column(order, starts, residuals, low, high)


def _differences(numbers: list[int]) -> list[int]:
    return list(map(sub, islice(numbers, 1, None), numbers))


def _head_bits(column: Column) -> int:
    bits = column.low.bit_length() + 1
    for start in column.starts:
        bits += start.bit_length() + 1
    return bits


def _range_bits(column: Column) -> float:
    return _head_bits(column) + len(column.residuals) * log2(column.high - column.low + 1)


def _size_bits(column: Column) -> float:
    if column.low == column.high:
        return _head_bits(column)
    return _head_bits(column) + sum(map(int.bit_length, column.residuals)) + len(column.residuals)


def planes(columns: Sequence[Column], widths: Sequence[int]) -> bytes:
    """Residuals, less the lowest of their column, as byte planes: columns one byte wide, then two, and so on."""
    by_width: dict[int, list[int]] = {}
    for column, width in zip(columns, widths, strict=True):
        if width:
            by_width.setdefault(width, []).extend(_above_lowest(column))
    return b"".join(_shuffled(by_width[width], width) for width in sorted(by_width))


def _above_lowest(column: Column) -> Sequence[int]:
    return list(map(sub, column.residuals, repeat(column.low))) if column.low else column.residuals


def _shuffled(numbers: list[int], width: int) -> bytes:
    if width == 1:
        return bytes(numbers)
    words = array(ARRAY_CODES[width], numbers)
    if sys.byteorder == "big":
        words.byteswap()
    little = words.tobytes()
    return b"".join(little[plane :: words.itemsize] for plane in range(width))
