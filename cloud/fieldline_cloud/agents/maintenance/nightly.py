"""When the long search of the night is due. Pure."""

from datetime import tzinfo
from typing import Final

from fieldline_cloud.agents.maintenance.shifts import Shift, shift_windows

__all__ = ["Nightly"]

_EVERY_DAY: Final = frozenset(range(7))


class Nightly:
    """Due once, when the clock on the wall shows this minute of the day or is found past it; None: never."""

    def __init__(self, minute: int | None, zone: tzinfo, now_ns: int) -> None:
        self._moment = None if minute is None else Shift(_EVERY_DAY, minute, minute)
        self._zone = zone
        self._next_ns = self._after(now_ns)

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time; if so, not again until the next day. A clock that is set back makes it no more often."""
        if self._next_ns is None or now_ns < self._next_ns:
            return False
        self._next_ns = self._after(now_ns)
        return True

    def _after(self, now_ns: int) -> int | None:
        if self._moment is None:
            return None
        return min(start for start, _ in shift_windows([self._moment], self._zone, now_ns) if start > now_ns)
