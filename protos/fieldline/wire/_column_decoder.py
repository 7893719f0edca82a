"""Columns of integers from byte planes or varints, after their lengths have been checked against each other."""

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, repeat
from operator import add
from typing import Final

from fieldline.errors import DecodeError
from fieldline.wire._modes import ARRAY_CODES, INT64_MAX, INT64_MIN, wrap

__all__ = ["decode_columns_of"]

_ORDERS: Final = 3
_WIDTH_MAX: Final = 8


def decode_columns_of(
    lengths: Sequence[int], codes: Sequence[int], head: Sequence[int], data: bytes, varints: Sequence[int]
) -> list[list[int]]:
    """One list of signed 64-bit integers per column.

    `lengths` are trusted bounds; `codes` (order + 3 * width), `head`, `data` and `varints` come from outside.
    DecodeError where they do not fit the lengths exactly.
    """
    if len(codes) != len(lengths):
        raise DecodeError(f"{len(codes)} column codes for {len(lengths)} columns")
    orders = [code % _ORDERS for code in codes]
    widths = [code // _ORDERS for code in codes]
    if max(widths, default=0) > _WIDTH_MAX:
        raise DecodeError(f"column width {max(widths)} is over {_WIDTH_MAX} bytes")
    counts = [length - order for length, order in zip(lengths, orders, strict=True)]
    if min(counts, default=1) < 1:
        raise DecodeError("a column has no more points than its order of deltas")
    if varints:
        above = _from_varints(counts, widths, data, varints)
        heads = _heads(orders, head, 0)
    else:
        above = _from_planes(counts, widths, data)
        heads = _heads(orders, head, 1)
    return list(map(_rebuilt, counts, heads, above))


def _heads(orders: list[int], head: Sequence[int], lows: int) -> list[tuple[int, ...]]:
    """Per column the lowest residual, which is 0 unless there are `lows` in `head`, and then its starts."""
    needed = sum(orders) + lows * len(orders)
    if len(head) != needed:
        raise DecodeError(f"{len(head)} head values where the columns need {needed}")
    rest = iter(head)
    if lows:
        return [(next(rest), *islice(rest, order)) for order in orders]
    return [(0, *islice(rest, order)) for order in orders]


def _from_varints(
    counts: list[int], widths: list[int], data: bytes, varints: Sequence[int]
) -> list[Sequence[int] | None]:
    if any(widths) or data:
        raise DecodeError("residuals as varints and as byte planes in one batch")
    if len(varints) != sum(counts):
        raise DecodeError(f"{len(varints)} residuals where the columns need {sum(counts)}")
    rest = iter(varints)
    return [list(islice(rest, count)) for count in counts]


def _from_planes(counts: list[int], widths: list[int], data: bytes) -> list[Sequence[int] | None]:
    totals = [0] * (_WIDTH_MAX + 1)
    for count, width in zip(counts, widths, strict=True):
        totals[width] += count
    needed = sum(total * width for width, total in enumerate(totals))
    if len(data) != needed:
        raise DecodeError(f"{len(data)} bytes of residuals where the columns need {needed}")
    sources: list[Iterator[int]] = [iter(())]
    start = 0
    for width in range(1, _WIDTH_MAX + 1):
        end = start + width * totals[width]
        sources.append(iter(_unshuffled(data[start:end], width, totals[width])))
        start = end
    return [list(islice(sources[width], count)) if width else None for count, width in zip(counts, widths, strict=True)]


def _unshuffled(data: bytes, width: int, count: int) -> Sequence[int]:
    if width == 1 or not count:
        return data
    words = array(ARRAY_CODES[width])
    little = bytearray(count * words.itemsize)
    for plane in range(width):
        little[plane :: words.itemsize] = data[plane * count : (plane + 1) * count]
    words.frombytes(little)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _rebuilt(count: int, head: tuple[int, ...], above: Sequence[int] | None) -> list[int]:
    """The numbers whose deltas are the lowest plus `above`, modulo 2^64; without `above` all are the lowest."""
    low = head[0]
    if above is None:
        numbers = [low] * count
        if len(head) == 1:
            return numbers
    else:
        numbers = list(map(add, above, repeat(low))) if low else list(above)
    for start in head[:0:-1]:
        numbers = list(accumulate(numbers, initial=start))
    if min(numbers) < INT64_MIN or max(numbers) > INT64_MAX:
        return list(map(wrap, numbers))
    return numbers
