"""Compression by straight lines whose error bound holds: a swinging door with a cone. Pure.

The classical swinging door (E. H. Bristol, US patent 4669097, 1985) opens two doors from pivots a bound above and below
the last kept point, and keeps the point before the one at which they stand parallel. The line between two kept points
may then miss a point between them by nearly twice the bound. Here the doors have the kept point itself as their hinge:
every point narrows a cone of slopes to those that pass it within the bound, and a point may end a segment only if the
line to it lies in the cone of all points before. This is the fan, or slope intersection; the swing filter of Elmeleegy,
Elmagarmid, Cecchet, Aref and Zwaenepoel (VLDB 2009) narrows the same cone, but ends a segment at a computed point. We
keep measured readings only.
"""

import math
import sys
from typing import Any, Final

from fieldline.model import Reading, Value
from fieldline_edge.processing.stage import NEVER_S, Emit, ProcessingStats, is_same

__all__ = ["Door"]

_FLOAT_MAX: Final = sys.float_info.max
_INT_MAX: Final = 1 << 1000  # far beyond what a reading carries, and still a float when divided


class Door:
    """Keeps the readings that a straight line needs, and holds back at most one.

    The promise: between two kept readings of one quality, every reading left out lies within `bound` of the straight
    line through them, in exact arithmetic up to a rounding slack of 8 * 2**-53 times the largest magnitude that the
    segment, or the bound, has. What is kept is what was measured: value, time and quality.

    A segment ends (the held reading goes on, then the new one) at a change of quality, at a value that is no finite
    number, and at a time that does not grow. Of readings without a number, those that differ from the one before are
    kept. `report_ns_max` after the last kept reading the next one is kept in any case, counted in the time of the
    readings. A reading is held for `hold_s_max` at the most, if the shell ticks at `due_at_s`: that is how late a
    reader learns of it.
    """

    __slots__ = (
        "_anchor",
        "_at_ns",
        "_bound",
        "_emit",
        "_held",
        "_high",
        "_hold_s_max",
        "_low",
        "_report_ns_max",
        "_stats",
        "_value",
        "due_at_s",
    )

    def __init__(
        self, bound: float, *, report_ns_max: int, hold_s_max: float, emit: Emit, stats: ProcessingStats
    ) -> None:
        self._bound = bound
        self._report_ns_max = report_ns_max
        self._hold_s_max = hold_s_max
        self._emit = emit
        self._stats = stats
        self._anchor: Reading | None = None  # the last kept one, as long as a line may begin there
        self._at_ns, self._value = 0, 0.0  # of the anchor
        self._held: Reading | None = None  # the last one taken; a line from the anchor to it holds the bound
        self._low, self._high = -_FLOAT_MAX, _FLOAT_MAX  # slopes, per nanosecond, that pass all points in between
        self.due_at_s = NEVER_S

    def put(self, reading: Reading, now_s: float) -> None:
        """Take a reading; the one held before it may go on."""
        anchor = self._anchor
        value: Any = reading.value
        if anchor is None or reading.quality is not anchor.quality:
            self._break(reading, now_s)
            return
        if type(value) is not float and not _is_whole(value):
            self._without_line(anchor, reading, now_s)
            return
        passed_ns = reading.at_ns - self._at_ns
        held = self._held
        if passed_ns <= 0 or (held is not None and reading.at_ns <= held.at_ns):
            self._break(reading, now_s)
            return
        slope = (value - self._value) / passed_ns
        # A slope that is infinite or no number is never inside: the cone is finite.
        if not self._low <= slope <= self._high:
            if held is None:
                self._without_line(anchor, reading, now_s)
                return
            self._held = None
            self._keep(held, now_s)
            passed_ns = reading.at_ns - self._at_ns
            slope = (value - self._value) / passed_ns
            if not -_FLOAT_MAX <= slope <= _FLOAT_MAX:
                self._break(reading, now_s)
                return
        elif held is not None:
            self._stats.door += 1
        if passed_ns >= self._report_ns_max:
            self._held = None
            self._keep(reading, now_s)
            return
        half_width = self._bound / passed_ns
        if slope - half_width > self._low:
            self._low = slope - half_width
        if slope + half_width < self._high:
            self._high = slope + half_width
        self._held = reading
        if self.due_at_s == NEVER_S:
            self.due_at_s = now_s + self._hold_s_max

    def tick(self, now_s: float) -> None:
        """Hand on the held reading if its time has come; the next line begins there."""
        if now_s >= self.due_at_s:
            self.flush(now_s)

    def flush(self, now_s: float) -> None:
        """Hand on the held reading, if there is one."""
        held, self._held = self._held, None
        if held is not None:
            self._keep(held, now_s)

    def _keep(self, reading: Reading, now_s: float) -> None:
        """Hand on `reading`; a new line begins there. From one without a number no slope is finite: none passes."""
        value: Any = reading.value
        self._anchor, self._at_ns = reading, reading.at_ns
        self._value = value if type(value) is float or _is_whole(value) else math.nan
        self._low, self._high = -_FLOAT_MAX, _FLOAT_MAX
        self.due_at_s = NEVER_S
        self._emit(reading, now_s)

    def _break(self, reading: Reading, now_s: float) -> None:
        """End the line that was, and begin a new one at `reading`."""
        self.flush(now_s)
        self._keep(reading, now_s)

    def _without_line(self, anchor: Reading, reading: Reading, now_s: float) -> None:
        """Values that are no finite numbers: what is said once need not be said again."""
        is_number = type(reading.value) is float and reading.value - reading.value == 0.0
        if (
            not is_number
            and self._held is None
            and is_same(reading.value, anchor.value)
            and 0 <= reading.at_ns - anchor.at_ns < self._report_ns_max
        ):
            self._stats.door += 1
            return
        self._break(reading, now_s)


def _is_whole(value: Value) -> bool:
    """Whether it is an int to draw lines through; truth values are none, and so move only when they change."""
    return type(value) is int and -_INT_MAX < value < _INT_MAX
