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
    """Columns that wait to be scored together. Adding some costs a few list appends, however long they are.

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
        self.extend((row,), (series.at_ns,), (values,))

    def extend(self, rows: Sequence[int], at_ns: Sequence[Sequence[int]], values: Sequence[Sequence[Value]]) -> None:
        """Several series at once, all of their readings good."""
        lengths = list(map(len, values))
        self._rows += rows
        self._lengths += lengths
        self._at_ns += at_ns
        self._values += values
        self._count += sum(lengths)

    def take(self) -> Raw:
        """All of it, and nothing is pending any more."""
        raw = self._raw() if self._rows else Raw(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self.__init__()  # type: ignore[misc]  # empty again, as at first
        return raw

    def _raw(self) -> Raw:
        """Series are put in order, not readings; moments that several series share are converted once."""
        rows, lengths = np.array(self._rows, np.int64), np.array(self._lengths, np.int64)
        which = np.fromiter(map(id, self._at_ns), np.uint64, len(rows))
        is_new = np.append(True, which[1:] != which[:-1])
        axes = np.flatnonzero(is_new)
        at_ns = _times([self._at_ns[place] for place in axes.tolist()], int(lengths[axes].sum()))
        begin = _starts(lengths)
        axis_begin = _starts(lengths[axes])[np.cumsum(is_new) - 1]
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows, lengths, begin, axis_begin = rows[order], lengths[order], begin[order], axis_begin[order]
        place, stands = np.arange(self._count), _starts(lengths)
        return Raw(
            np.repeat(rows, lengths),
            at_ns[place + np.repeat(axis_begin - stands, lengths)],
            _numbers(self._values, self._count)[place + np.repeat(begin - stands, lengths)],
        )


def _starts(lengths: Ints) -> Ints:
    """Where each begins of some that stand one after the other."""
    starts: Ints = np.cumsum(lengths) - lengths
    return starts


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
