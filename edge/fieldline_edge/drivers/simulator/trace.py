"""Recorded traces: a table with a time column, read from CSV and played back as a machine. Pure.

Understands what recorders write: any of , ; tab | between columns, ISO times or Unix times in s, ms, us or ns, one
row for each moment. A cell that is empty or no number repeats the one above it.
"""

import csv
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import isfinite, nan
from random import Random

from fieldline_edge.drivers.simulator.blueprint import Blueprint
from fieldline_edge.drivers.simulator.machines import Condition, Make, Model
from fieldline_edge.drivers.simulator.registers import Kind, Register
from fieldline_edge.drivers.simulator.signals import Signal

__all__ = ["Trace", "parse_trace", "replay_blueprint"]

ROWS_MAX = 5_000_000
_TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "ts", "time_ms", "at_ms", "at_s")
_DELIMITERS = ",;\t|"
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # a Unix time above the first is in parts of a second: the second


@dataclass(frozen=True, slots=True)
class Trace:
    """Times in seconds from the first row on, rising, and the columns by name."""

    times_s: Sequence[float]
    columns: Mapping[str, Sequence[float]]

    @property
    def length_s(self) -> float:
        """From the first row to one step after the last, so that a loop has no row twice."""
        if len(self.times_s) < 2:
            return 1.0
        return self.times_s[-1] + self.times_s[-1] / (len(self.times_s) - 1)


def parse_trace(
    lines: Iterable[str],
    *,
    time_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    only: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    time_format: str | None = None,
    sort: bool = False,
) -> Trace:
    """The trace in the CSV text `lines`. ValueError with the row and the cure if it is none.

    `columns` is {signal: column}; left out: every column with a number in the first row. `only` keeps the rows that
    have these values in these columns. Left out, the time column is one with a usual name, or the first. `time_format`
    is that of datetime.strptime. Rows must be in order of time, or are put in order with `sort`.
    """
    source = iter(lines)
    header_line = next(source, "").lstrip("\ufeff")
    split = delimiter or max(_DELIMITERS, key=header_line.count)
    header = [name.strip() for name in next(csv.reader([header_line], delimiter=split), [])]
    if len(header) < 2:
        raise ValueError(f"has no two columns in its first line {header_line[:60]!r}; set delimiter:")
    time_at = _place(header, time_column) if time_column else _time_place(header)
    filters = [(_place(header, name), value) for name, value in (only or {}).items()]
    chosen = None if columns is None else {signal: _place(header, name) for signal, name in columns.items()}
    times = array("d")
    data: dict[str, array[float]] = {}
    for number, row in enumerate(csv.reader(source, delimiter=split), 2):
        if not row or any(len(row) <= at or row[at] != value for at, value in filters):
            continue
        if chosen is None:
            chosen = {name: at for at, name in enumerate(header) if at != time_at and _is_number(row, at)}
        _take(row, number, time_at, chosen, times, data, time_format)
        if not sort and len(times) > 1 and times[-1] < times[-2]:
            raise ValueError(f"row {number}: time goes back; set sort: true, or choose rows with only:")
    if not times or not data:
        raise ValueError("has no row with a number; check the file, columns: and only:")
    if sort:
        order = sorted(range(len(times)), key=times.__getitem__)
        times = array("d", (times[at] for at in order))
        data = {name: array("d", (values[at] for at in order)) for name, values in data.items()}
    _fill(data)
    first = times[0]
    return Trace(array("d", (each - first for each in times)), data)


def replay_blueprint(trace: Trace, registers: Sequence[Register] | None, *, loop: bool, speed: float) -> Blueprint:
    """A machine that plays `trace`, `speed` times as fast, over and over or once (it then stays at the last row).

    Without `registers` each column is a FLOAT32 in two holding registers, in the order of the columns from 0 on.
    """
    signals = tuple(Signal(name, "", *_range(values)) for name, values in trace.columns.items())
    if registers is None:
        registers = [Register(signal.name, Kind.HOLDING, 2 * place, "float32") for place, signal in enumerate(signals)]
    build = partial(Replay, trace=trace, loop=loop, speed=speed)
    return Blueprint(model="replay", signals=signals, registers=tuple(registers), build=build, moved={})


class Replay(Model):
    """A machine that says what a trace says."""

    EXACT = True

    def __init__(self, make: Make, random: Random, *, trace: Trace, loop: bool, speed: float) -> None:
        super().__init__(make, random)
        self._trace = trace
        self._loop = loop
        self._speed = speed

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Let time pass."""
        self._time_s += dt_s

    def look(self) -> Mapping[str, float]:
        """The last row at or before now."""
        at_s = self._time_s * self._speed + 1e-9
        if self._loop:
            at_s %= self._trace.length_s
        row = max(bisect_right(self._trace.times_s, at_s) - 1, 0)
        return {name: values[row] for name, values in self._trace.columns.items()}


def _take(
    row: Sequence[str],
    number: int,
    time_at: int,
    chosen: Mapping[str, int],
    times: "array[float]",
    data: "dict[str, array[float]]",
    time_format: str | None,
) -> None:
    if len(times) >= ROWS_MAX:
        raise ValueError(f"has more than {ROWS_MAX} rows; cut it")
    try:
        at_s = _seconds(row[time_at], time_format)
    except (ValueError, IndexError):
        told = row[time_at] if len(row) > time_at else ""
        raise ValueError(f"row {number}: {told[:40]!r} is no time; set time_column: or time_format:") from None
    times.append(at_s)
    for name, at in chosen.items():
        data.setdefault(name, array("d")).append(_number(row, at))


def _place(header: Sequence[str], name: str) -> int:
    if name not in header:
        raise ValueError(f"has no column {name!r}; it has: {', '.join(header[:12])}")
    return header.index(name)


def _time_place(header: Sequence[str]) -> int:
    lowered = [name.lower() for name in header]
    return next((lowered.index(name) for name in _TIME_NAMES if name in lowered), 0)


def _number(row: Sequence[str], at: int) -> float:
    try:
        value = float(row[at])
    except (ValueError, IndexError):
        return nan
    return value if isfinite(value) else nan


def _is_number(row: Sequence[str], at: int) -> bool:
    return isfinite(_number(row, at))


def _fill(data: "dict[str, array[float]]") -> None:
    """Holes take the value above them; those at the beginning the first there is."""
    for values in data.values():
        last = next((value for value in values if isfinite(value)), 0.0)
        for at, value in enumerate(values):
            if isfinite(value):
                last = value
            else:
                values[at] = last


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A sensor's range with some room around what was recorded, for faults are sized by it."""
    low, high = min(values), max(values)
    room = (high - low) or abs(high) or 1.0
    return low - room, high + room


def _seconds(text: str, time_format: str | None) -> float:
    try:
        number = float(text) if time_format is None else None
    except ValueError:
        number = None
    if number is None:
        text = text.strip()
        moment = datetime.strptime(text, time_format) if time_format else datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not isfinite(number):
        raise ValueError("is not finite")
    return number / next((parts for above, parts in _UNITS if abs(number) > above), 1.0)
