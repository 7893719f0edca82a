"""Deadband: a value travels when it has moved by more than a bound since the last one that did. Pure."""

from typing import Any

from fieldline.model import Quality, Reading
from fieldline_edge.processing.stage import NEVER_S, Emit, ProcessingStats, is_same

__all__ = ["Deadband"]


class Deadband:
    """Hands on a reading when the value differs from the last one handed on by more than `bound`, when the quality
    changes, and `report_ns_max` after the last one at the latest, counted in the time of the readings.

    So what a reader knows is never further off than `bound`. Text and truth values travel whenever they differ. A
    reading that is older than the last one handed on travels: a clock was set back, and silence would last until it
    has caught up. Nothing is ever held, so nothing is late.
    """

    __slots__ = ("_at_ns", "_bound", "_emit", "_quality", "_report_ns_max", "_stats", "_value", "due_at_s")

    def __init__(self, bound: float, *, report_ns_max: int, emit: Emit, stats: ProcessingStats) -> None:
        self._bound = bound
        self._report_ns_max = report_ns_max
        self._emit = emit
        self._stats = stats
        self._at_ns = -(1 << 62)
        self._value: Any = None
        self._quality: Quality | None = None  # None: nothing has been handed on yet
        self.due_at_s = NEVER_S

    def put(self, reading: Reading, now_s: float) -> None:
        """Take a reading: it goes on now or never."""
        value: Any = reading.value
        if reading.quality is self._quality and 0 <= reading.at_ns - self._at_ns < self._report_ns_max:
            last = self._value
            if type(value) is type(last):
                if type(value) is float or type(value) is int:
                    near = -self._bound <= value - last <= self._bound or is_same(value, last)
                else:
                    near = value == last
                if near:
                    self._stats.deadband += 1
                    return
        self._at_ns, self._value, self._quality = reading.at_ns, value, reading.quality
        self._emit(reading, now_s)

    def tick(self, now_s: float) -> None:
        """Nothing is ever held."""

    def flush(self, now_s: float) -> None:
        """Nothing is ever held."""
