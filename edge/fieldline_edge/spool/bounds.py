"""What happens at the spool's bounds, by bytes and by age. Pure: no disk, no clock."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Bounds", "Pause", "WhenFull", "older_than_ns", "thin_range"]

# A clock that was never set says 1970, or when its image was made; what it stamped has no age. 2020-01-01.
_CLOCK_SET_NS = 1_577_836_800 * 1_000_000_000


class WhenFull(Enum):
    """What happens to readings when the spool is at its bound."""

    DROP_OLDEST = "drop_oldest"
    STOP_POLLING = "stop_polling"
    THIN_OUT = "thin_out"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept and for how long (None: for ever), what gives way, and one frame in how many thinning keeps."""

    bytes_max: int
    age_s_max: float | None = None
    when_full: WhenFull = WhenFull.DROP_OLDEST
    keep_every: int = 2


class Pause:
    """Whether polling pauses because the spool is nearly full: from 15/16 of the bound until 7/8 of it.

    What is left above it takes the frames that are in hand when polling stops, and alarms.
    """

    def __init__(self, when_full: WhenFull) -> None:
        self._applies = when_full is WhenFull.STOP_POLLING
        self.is_on = False

    def rebound(self, when_full: WhenFull) -> None:
        """Another policy from now on."""
        self._applies = when_full is WhenFull.STOP_POLLING
        self.is_on = self.is_on and self._applies

    def look(self, *, used_bytes: int, bound_bytes: int) -> bool:
        """Judge anew; returns `is_on`."""
        if self._applies:
            self.is_on = used_bytes * (8 if self.is_on else 16) > bound_bytes * (7 if self.is_on else 15)
        return self.is_on


def older_than_ns(*, now_ns: int, age_s_max: float | None) -> tuple[int, int] | None:
    """Frames stamped in [from, to) are too old; None: none is.

    Whoever was stamped by a clock that had not been set is not judged, and neither is anybody by such a clock.
    """
    if age_s_max is None:
        return None
    before_ns = now_ns - int(age_s_max * 1e9)
    return (_CLOCK_SET_NS, before_ns) if before_ns > _CLOCK_SET_NS else None


def thin_range(*, thinned_up_to: int, oldest: int, newest: int) -> tuple[int, int]:
    """(after, up_to): the ids to thin out next, behind what was thinned last and in the older half of what is kept.

    Once all of that has been gone through it begins anew at the oldest: what is oldest is thinned most.
    """
    middle = oldest + (newest - oldest) // 2
    after = max(thinned_up_to, oldest - 1)
    return (after, middle) if after < middle else (oldest - 1, middle)
