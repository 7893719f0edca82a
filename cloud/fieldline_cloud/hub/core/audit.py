"""Which refusals are worth a line in the log: one a minute for each caller and reason, with a count. Pure."""

from dataclasses import dataclass

__all__ = ["Repeats"]

_AGAIN_S = 60.0
_KNOWN_MAX = 1024


@dataclass(slots=True)
class _Seen:
    said_at_s: float
    unsaid: int = 0


class Repeats:
    """Keeps somebody who knocks all the time from filling the log. Time is handed in.

    Remembers so many callers and reasons; beyond that it forgets the one it has known longest.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def worth_saying(self, who: str, reason: str, now_s: float) -> int | None:
        """None if it was said within the last minute; else how often it happened since then without being said."""
        seen = self._seen.get((who, reason))
        if seen is not None and now_s - seen.said_at_s < _AGAIN_S:
            seen.unsaid += 1
            return None
        if seen is None and len(self._seen) >= _KNOWN_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[who, reason] = _Seen(now_s)
        return seen.unsaid if seen else 0
