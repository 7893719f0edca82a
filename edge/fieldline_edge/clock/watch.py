"""What a look at the clock tells: synchronised at last, or jumped. Pure: the looks are handed in."""

from dataclasses import dataclass

__all__ = ["ClockWatch", "Jumped", "Synchronised"]


@dataclass(frozen=True, slots=True)
class Synchronised:
    """The clock was not trusted until now, and may be from now on."""


@dataclass(frozen=True, slots=True)
class Jumped:
    """The trusted clock was set by `step_ns` since the last look; negative: back."""

    step_ns: int


class ClockWatch:
    """Follows the machine's clock against its monotonic one. An anchor is Unix time minus monotonic time.

    Once synchronised, a clock stays trusted: without its time service it drifts by seconds a day, which is no reason
    to doubt every reading.
    """

    def __init__(self, *, trusted: bool, anchor_ns: int, jump_ns_min: int) -> None:
        self.trusted = trusted
        self.jumps = 0
        self._anchor_ns = anchor_ns
        self._jump_ns_min = jump_ns_min

    def look(self, *, anchor_ns: int, synchronised: bool) -> Synchronised | Jumped | None:
        """What is new. A step while the clock is not trusted is none: nobody uses that clock yet."""
        step_ns, self._anchor_ns = anchor_ns - self._anchor_ns, anchor_ns
        if not self.trusted:
            if not synchronised:
                return None
            self.trusted = True
            return Synchronised()
        if abs(step_ns) < self._jump_ns_min:
            return None
        self.jumps += 1
        return Jumped(step_ns)
