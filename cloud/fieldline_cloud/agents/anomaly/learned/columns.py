"""Readings of many tags as flat arrays: from decoded frames to numpy without a Python object per reading. Pure.

Only numbers that can be trusted are kept: bad and uncertain quality, a repeated last value, NaN, infinity, text and
moments before 1970 or after 2116 become NaN or are left out, and are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from fieldline.model import Quality, Reading, Value
from fieldline.wire.readings import Series

__all__ = ["Floats", "Ints", "Pending", "Raw", "is_number", "series_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AT_NS_MAX: Final = 1 << 62
_UNCERTAIN: Final = int(Quality.UNCERTAIN)


def series_of(readings: Iterable[Reading]) -> list[Series]:
    """Readings in any order as one series per tag, each in the order given."""
    by_tag: dict[str, tuple[list[int], list[Value], list[Quality]]] = {}
    for reading in readings:
        columns = by_tag.get(reading.tag)
        if columns is None:
            columns = by_tag[reading.tag] = ([], [], [])
        columns[0].append(reading.at_ns)
        columns[1].append(reading.value)
        columns[2].append(reading.quality)
    return [Series(tag, at_ns, values, qualities) for tag, (at_ns, values, qualities) in by_tag.items()]


def is_number(values: Sequence[Value]) -> bool:
    """Whether the first value there is, is a number; a series holds values of one type."""
    first = next((value for value in values if value is not None), None)
    return isinstance(first, int | float) and not isinstance(first, bool)


@dataclass(frozen=True, slots=True)
class Raw:
    """Readings of many rows: a row's readings stand together and in the order they came. NaN: no good value."""

    rows: Ints
    at_ns: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.rows)


class Pending:
    """Columns that wait to be scored together. Adding one costs a few list appends, however long it is.

    Holds about as many readings as its owner lets it; `len` says how many.
    """

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._lengths: list[int] = []
        self._at_ns: list[Sequence[int]] = []
        self._values: list[Sequence[Value]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: int, series: Series) -> None:
        """One series of numbers, of the tag that has `row`."""
        values = series.values
        if series.qualities is not None:
            qualities = zip(values, series.qualities, strict=True)
            values = [value if quality < _UNCERTAIN else None for value, quality in qualities]
        self._rows.append(row)
        self._lengths.append(len(values))
        self._at_ns.append(series.at_ns)
        self._values.append(values)
        self._count += len(values)

    def take(self) -> Raw:
        """All of it, and nothing is pending any more."""
        rows = np.repeat(np.array(self._rows, np.int64), self._lengths)
        raw = Raw(rows, _times(self._at_ns, self._count), _numbers(self._values, self._count))
        self.__init__()  # type: ignore[misc]  # empty again, as at first
        return _in_order_of_rows(raw)


def _in_order_of_rows(raw: Raw) -> Raw:
    if not np.any(raw.rows[1:] < raw.rows[:-1]):
        return raw
    order = np.argsort(raw.rows, kind="stable")
    return Raw(raw.rows[order], raw.at_ns[order], raw.values[order])


def _times(columns: list[Sequence[int]], count: int) -> Ints:
    try:
        return np.fromiter(chain.from_iterable(columns), np.int64, count)
    except OverflowError:  # a moment that fits no 64 bits: told apart as one after 2116
        bounded = (min(max(at_ns, -1), AT_NS_MAX + 1) for at_ns in chain.from_iterable(columns))
        return np.fromiter(bounded, np.int64, count)


def _numbers(columns: list[Sequence[Value]], count: int) -> Floats:
    flat = list(chain.from_iterable(columns))
    try:
        return np.array(flat, np.float64)
    except (OverflowError, TypeError, ValueError):  # an int beyond any float, or text among numbers
        return np.fromiter(map(_number, flat), np.float64, count)


def _number(value: Value) -> float:
    try:
        return float(value) if isinstance(value, int | float) else np.nan
    except OverflowError:
        return np.nan
