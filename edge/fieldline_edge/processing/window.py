"""Aggregation windows aligned to the clock: what a minute of readings comes to. Pure.

Averages over time and integrals take a value as lasting until the next one (OPC UA part 13 calls that stepped), and
only what is good or uncertain counts. Stamps are those of the window's start, as in OPC UA part 13, or its end.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fieldline.model import Quality, Reading, Value
from fieldline_edge.processing.stage import NEVER_S, Emit, ProcessingStats, number_of

__all__ = ["Function", "Stamp", "Window", "WindowSpec"]

_EMPTY_MAX: Final = 60
"""Empty windows reported in a row; a longer silence is one jump."""
_SET_BACK_AFTER: Final = 3
"""So many late readings in succession are no late readings: the clock was set back."""


class Function(Enum):
    """What a window is reduced to; the value is also the end of the new tag's name."""

    MEAN = "mean"
    TIME_MEAN = "time_mean"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    COUNT = "count"
    SUM = "sum"
    STD = "std"
    INTEGRAL = "integral"
    GOOD_PERCENT = "good_percent"


class Stamp(Enum):
    """Which end of a window its readings carry as their time."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a tag is aggregated."""

    tag: str
    period_ns: int
    functions: tuple[Function, ...]
    offset_ns: int = 0
    late_ns: int = 0
    good_percent_min: float = 100.0
    stamp: Stamp = Stamp.START
    report_empty: bool = False
    keep_raw: bool = False


@dataclass(slots=True)
class _Sums:
    """One window while it is open."""

    start_ns: int
    readings: int = 0
    good: int = 0
    used: int = 0  # numbers that went into the sums
    mean: float = 0.0
    squares: float = 0.0  # of the differences to the mean: Welford, so that a large mean costs no digits
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    first: Value = None
    last: Value = None
    area: float = 0.0  # value times seconds
    known_s: float = 0.0  # the seconds of it
    first_at_ns: int = 0
    since_ns: int = 0  # from when on `lasting` lasts
    lasting: float | None = None
    worst: Quality = Quality.GOOD
    newest_bad: Quality = Quality.BAD

    def lasts_until(self, at_ns: int) -> None:
        """The value there was goes on until `at_ns`."""
        if self.lasting is not None and at_ns > self.since_ns:
            seconds = (at_ns - self.since_ns) / 1e9
            self.area += self.lasting * seconds
            self.known_s += seconds
        if at_ns > self.since_ns:
            self.since_ns = at_ns

    def began_with(self, value: float) -> None:
        """The window before is over only now: its last value lasted until the first reading of this one."""
        seconds = (self.first_at_ns - self.start_ns) / 1e9
        self.area += value * seconds
        self.known_s += seconds

    def add(self, reading: Reading) -> None:
        """Take a reading that belongs here."""
        if not self.readings:
            self.first_at_ns = reading.at_ns
        self.readings += 1
        self.lasts_until(reading.at_ns)
        quality = reading.quality
        if quality is Quality.GOOD:
            self.good += 1
        elif quality >= Quality.BAD:
            self.newest_bad = quality
            self.lasting = None
            return
        else:
            self.good += quality.is_good
            self.worst = max(self.worst, quality)
        value = self.last = reading.value
        if self.first is None:
            self.first = value
        number = self.lasting = number_of(value)
        if number is None:
            return
        self.used += 1
        self.total += number
        change = number - self.mean
        self.mean += change / self.used
        self.squares += change * (number - self.mean)
        if number < self.least:
            self.least = number
        if number > self.most:
            self.most = number


class Window:
    """Gathers the readings of one tag and hands on one reading for each function when a window is over.

    It is over when a reading arrives that is later than its end by `late_ns`, or, if none does, when that time has
    passed since it was opened. So at most 1 + late_ns / period_ns windows are open. A reading of a window that is over
    is counted as late and is in none, unless three come in succession: then the clock was set back, and the windows go
    on from there. A jump ahead just ends the windows before it.

    Quality: good if at least `good_percent_min` of the readings were good; uncertain if some could be used; bad, with
    the reason of the newest one, if none could. An empty window is passed over, or (`report_empty`) bad with count 0.
    A function with nothing to work on (a mean of texts, a sum beyond the largest float) is BAD_CALCULATION.
    """

    def __init__(self, spec: WindowSpec, *, emits: Mapping[Function, Emit], stats: ProcessingStats) -> None:
        self._spec = spec
        self._emits = emits
        self._stats = stats
        self._kept_back = 0 if spec.keep_raw else 1
        self._names = {function: f"{spec.tag}.{function.value}" for function in spec.functions}
        self._open: dict[int, tuple[_Sums, float]] = {}  # by start, ascending; with the time at which it must close
        self._closed_to_ns: int | None = None  # windows that start before this are over
        self._newest_ns: int | None = None
        self._current: _Sums | None = None  # the window that is open, if it is the only one
        self._current_end_ns = 0
        self._late: list[Reading] = []
        self._carried: tuple[int, float] | None = None  # the value that lasts over the end of a window
        self.due_at_s = NEVER_S

    @property
    def held(self) -> int:
        """Windows open now."""
        return len(self._open)

    def put(self, reading: Reading, now_s: float) -> None:
        """Take a reading; windows before it may be over."""
        self._stats.aggregate += self._kept_back
        at_ns, sums = reading.at_ns, self._current
        if sums is not None and sums.start_ns <= at_ns < self._current_end_ns and not self._late:
            if self._newest_ns is None or at_ns > self._newest_ns:
                self._newest_ns = at_ns
            sums.add(reading)
            return
        start_ns = self._start_of(at_ns)
        if self._is_over(start_ns):
            self._take_late(reading, now_s)
            return
        self._count_late()
        self._take(reading, start_ns, now_s)

    def tick(self, now_s: float) -> None:
        """Close the windows whose time has passed."""
        while self._open and (start_ns := next(iter(self._open))) is not None:
            due_s = self._open[start_ns][1]
            if due_s > now_s:
                break
            self._close_first(now_s)
            if self._spec.report_empty and not self._open:
                self._open_at(start_ns + self._spec.period_ns, due_s + self._spec.period_ns / 1e9)
        self._set_due()

    def flush(self, now_s: float) -> None:
        """Close everything, over or not: a part of a window says more than none."""
        while self._open:
            self._close_first(now_s)
        self._count_late()
        self._set_due()

    def _take(self, reading: Reading, start_ns: int, now_s: float) -> None:
        if self._newest_ns is None or reading.at_ns > self._newest_ns:
            self._newest_ns = reading.at_ns
        while self._open and self._is_over(next(iter(self._open))):
            self._close_first(now_s)
        if start_ns not in self._open:
            self._report_empty_before(start_ns, now_s)
            left_ns = start_ns + self._spec.period_ns + self._spec.late_ns - reading.at_ns
            self._open_at(start_ns, now_s + left_ns / 1e9)
        self._open[start_ns][0].add(reading)
        self._set_due()
        # As long as it is the only one, readings within it need no look at any other.
        self._current = self._open[start_ns][0] if len(self._open) == 1 else None
        self._current_end_ns = start_ns + self._spec.period_ns

    def _is_over(self, start_ns: int) -> bool:
        """Whether the window that starts there was closed, or will be: a reading beyond its end has come."""
        if self._closed_to_ns is not None and start_ns < self._closed_to_ns:
            return True
        end_ns = start_ns + self._spec.period_ns + self._spec.late_ns
        return self._newest_ns is not None and end_ns <= self._newest_ns

    def _open_at(self, start_ns: int, due_at_s: float) -> None:
        sums = _Sums(start_ns, since_ns=start_ns)
        if self._carried is not None and self._carried[0] == start_ns:
            sums.lasting = self._carried[1]
        self._open[start_ns] = (sums, due_at_s)
        if len(self._open) > 1:
            self._open = dict(sorted(self._open.items()))

    def _take_late(self, reading: Reading, now_s: float) -> None:
        self._late.append(reading)
        if len(self._late) < _SET_BACK_AFTER:
            return
        again, self._late = self._late, []
        while self._open:
            self._close_first(now_s)
        self._closed_to_ns = self._newest_ns = self._carried = None
        for one in sorted(again, key=lambda each: each.at_ns):
            self._take(one, self._start_of(one.at_ns), now_s)

    def _count_late(self) -> None:
        self._stats.late += len(self._late)
        self._late.clear()

    def _report_empty_before(self, start_ns: int, now_s: float) -> None:
        """Say of the windows between the last closed one and `start_ns` that they were empty."""
        if not self._spec.report_empty or self._closed_to_ns is None or self._open:
            return
        period_ns = self._spec.period_ns
        first_ns = max(self._closed_to_ns, start_ns - _EMPTY_MAX * period_ns)
        for empty_ns in range(first_ns, start_ns, period_ns):
            self._hand_on(_Sums(empty_ns), now_s)

    def _close_first(self, now_s: float) -> None:
        start_ns = next(iter(self._open))
        sums, _ = self._open.pop(start_ns)
        self._current = None
        end_ns = start_ns + self._spec.period_ns
        sums.lasts_until(end_ns)
        self._carried = None if sums.lasting is None else (end_ns, sums.lasting)
        if self._carried and (follower := self._open.get(end_ns)):
            follower[0].began_with(self._carried[1])
        self._closed_to_ns = end_ns
        if sums.readings or self._spec.report_empty:
            self._hand_on(sums, now_s)

    def _hand_on(self, sums: _Sums, now_s: float) -> None:
        self._stats.windows += 1
        spec = self._spec
        at_ns = sums.start_ns + (spec.period_ns if spec.stamp is Stamp.END else 0)
        quality = self._quality(sums)
        for function in spec.functions:
            value = _result(function, sums)
            own = quality
            if function in (Function.COUNT, Function.GOOD_PERCENT):
                own = Quality.GOOD  # how many there were is known in any case
            elif value is None and not quality.is_bad:
                own = Quality.BAD_CALCULATION
            self._emits[function](Reading(self._names[function], at_ns, value, own), now_s)

    def _quality(self, sums: _Sums) -> Quality:
        if sums.last is None:
            return sums.newest_bad
        if sums.good * 100 >= self._spec.good_percent_min * sums.readings:
            return Quality.GOOD
        return sums.worst if sums.worst > Quality.UNCERTAIN else Quality.UNCERTAIN

    def _start_of(self, at_ns: int) -> int:
        return at_ns - (at_ns - self._spec.offset_ns) % self._spec.period_ns

    def _set_due(self) -> None:
        self.due_at_s = next(iter(self._open.values()))[1] if self._open else NEVER_S


def _result(function: Function, sums: _Sums) -> Value:
    """What the window comes to; None where there is nothing to compute with, or the result is no finite number."""
    if function is Function.COUNT:
        return sums.readings
    if function is Function.GOOD_PERCENT:
        return 100.0 * sums.good / sums.readings if sums.readings else 0.0
    if function is Function.FIRST:
        return sums.first
    if function is Function.LAST:
        return sums.last
    return number_of(_number(function, sums))


def _number(function: Function, sums: _Sums) -> float | None:
    if function in (Function.TIME_MEAN, Function.INTEGRAL):
        if not sums.known_s:
            return None
        return sums.area / sums.known_s if function is Function.TIME_MEAN else sums.area
    if not sums.used:
        return None
    if function is Function.STD:
        return math.sqrt(max(0.0, sums.squares) / sums.used)
    return {
        Function.MEAN: sums.mean,
        Function.MIN: sums.least,
        Function.MAX: sums.most,
        Function.SUM: sums.total,
    }[function]
