"""Rate limit: at most one reading in each slot of time, or the two extremes of it. Pure."""

from enum import Enum

from fieldline.model import Reading
from fieldline_edge.processing.stage import NEVER_S, Emit, ProcessingStats, number_of

__all__ = ["Keep", "RateLimit"]


class Keep(Enum):
    """Which readings of a slot travel."""

    LAST = "last"
    EXTREMES = "extremes"


class RateLimit:
    """Hands on the first reading at once, and then, `period_ns` after it and so on, what the slot in between brought.

    That is its last reading, or with `Keep.EXTREMES` the smallest and the largest value in the order they came (then
    at most two a slot; readings without a number count by the last one). Slots are counted in the time of the
    readings; one that no reading ends is ended by `tick`. A reading from before the slot begins a new one: a clock was
    set back.
    """

    __slots__ = (
        "_count",
        "_emit",
        "_keep",
        "_last",
        "_least",
        "_most",
        "_period_ns",
        "_start_ns",
        "_stats",
        "due_at_s",
    )

    def __init__(self, *, period_ns: int, keep: Keep, emit: Emit, stats: ProcessingStats) -> None:
        self._period_ns = period_ns
        self._keep = keep
        self._emit = emit
        self._stats = stats
        self._start_ns: int | None = None  # of the slot that is open
        self._count = 0
        self._last: Reading | None = None
        self._least: tuple[float, Reading] | None = None
        self._most: tuple[float, Reading] | None = None
        self.due_at_s = NEVER_S

    def put(self, reading: Reading, now_s: float) -> None:
        """Take a reading; what an ended slot held goes on."""
        if self._start_ns is None or not self._is_in_slot(reading):
            self._let_go(now_s)  # at the end of a slot, where the next one begins
            if self._start_ns is None or not self._is_in_slot(reading):
                self._start_ns = reading.at_ns
                self._emit(reading, now_s)
                return
        self._hold(reading)
        if self.due_at_s == NEVER_S:
            left_ns = self._start_ns + self._period_ns - reading.at_ns
            self.due_at_s = now_s + min(left_ns, self._period_ns) / 1e9

    def tick(self, now_s: float) -> None:
        """Hand on what the slot holds, if its time is over."""
        if now_s >= self.due_at_s:
            self._let_go(now_s)

    def flush(self, now_s: float) -> None:
        """Hand on what the slot holds."""
        self._let_go(now_s)

    def _is_in_slot(self, reading: Reading) -> bool:
        # Up to a slot too early is jitter between stamp and arrival; earlier than that, a clock was set back.
        return self._start_ns is not None and -self._period_ns < reading.at_ns - self._start_ns < self._period_ns

    def _hold(self, reading: Reading) -> None:
        self._count += 1
        self._last = reading
        if self._keep is Keep.LAST:
            return
        value = None if reading.quality.is_bad else number_of(reading.value)
        if value is None:
            return
        if self._least is None or value < self._least[0]:
            self._least = (value, reading)
        if self._most is None or value >= self._most[0]:
            self._most = (value, reading)

    def _let_go(self, now_s: float) -> None:
        """Hand on what the slot held, if anything; the next slot begins at its end."""
        if self._last is None or self._start_ns is None:
            return
        chosen = [self._last]
        if self._least and self._most and not self._last.quality.is_bad:
            chosen = [self._least[1]] if self._least[1] is self._most[1] else [self._least[1], self._most[1]]
            chosen.sort(key=lambda reading: reading.at_ns)
        self._stats.rate_limit += self._count - len(chosen)
        self._start_ns += self._period_ns
        self._count = 0
        self._last = self._least = self._most = None
        self.due_at_s = NEVER_S
        for reading in chosen:
            self._emit(reading, now_s)
