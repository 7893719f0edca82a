"""When a device is read: at moments aligned to the clock, each device at its own phase. Pure."""

import zlib
from dataclasses import dataclass

__all__ = ["Due", "Schedule"]

# Devices that share a moment are read in one turn of the event loop, and a turn costs more than a read: with a thousand
# devices, a third of the time. More moments would spread the load better than anybody could notice.
_MOMENTS = 40


@dataclass(frozen=True, slots=True)
class Due:
    """When to read next, and how many moments have passed since the last one without a read."""

    at_ns: int
    missed: int


class Schedule:
    """Moments `k * period + phase` of Unix time.

    Aligned, so that a restart goes on in the same rhythm and tags of one device line up day by day. Unless it is
    given, the phase comes from the name alone, so that many devices of one period are spread over it, at forty
    moments, and the same way after every start.
    """

    def __init__(self, name: str, *, period_ms: int, phase_ms: int | None = None) -> None:
        self.period_ns = period_ms * 1_000_000
        self.phase_ns = (zlib.crc32(name.encode()) * _MOMENTS >> 32) * self.period_ns // _MOMENTS
        if phase_ms is not None:
            self.phase_ns = phase_ms * 1_000_000
        self._last_ns: int | None = None

    def next_after(self, now_ns: int) -> Due:
        """The first moment after `now_ns` that was not given out before.

        A sleep that ends a little early does not give the same moment twice. If the clock is set back by more
        than a period, the rhythm starts anew at the new time and does not wait for the old one; set forward,
        the moments in between count as missed only if fewer than an hour's worth.
        """
        last_ns = self._last_ns
        after_ns = now_ns
        if last_ns is not None and now_ns <= last_ns <= now_ns + self.period_ns:
            after_ns = last_ns
        at_ns = after_ns - (after_ns - self.phase_ns) % self.period_ns + self.period_ns
        self._last_ns = at_ns
        return Due(at_ns, self._missed(last_ns, at_ns))

    def is_late(self, due_ns: int, begun_ns: int) -> bool:
        """Whether a read that was due then and began later is more than a tenth of the period behind."""
        return begun_ns - due_ns > self.period_ns // 10

    def _missed(self, last_ns: int | None, at_ns: int) -> int:
        if last_ns is None or at_ns <= last_ns or at_ns - last_ns > 3_600_000_000_000 + self.period_ns:
            return 0
        return (at_ns - last_ns) // self.period_ns - 1
