"""How often: repeats with growing waits, retries with growing waits, and so many in a minute at most. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["Rate", "Repeats", "retry_after_ns"]

_MINUTE_NS: Final = 60 * 1_000_000_000
_RETRY_FIRST_NS: Final = 10 * 1_000_000_000
_RETRY_MOST_NS: Final = 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Repeats:
    """When a message that nobody has acknowledged is said again."""

    first_ns: int
    factor: float
    most_ns: int
    times_max: int

    def wait_ns(self, round_: int) -> int | None:
        """From round `round_` (0 is the first message) to the next one; None: it is not said again."""
        if round_ >= self.times_max:
            return None
        return round(min(self.first_ns * self.factor**round_, self.most_ns))


def retry_after_ns(attempts: int) -> int:
    """How long to wait after so many attempts that failed: 10 s, doubled each time, at most an hour."""
    return min(_RETRY_FIRST_NS << min(attempts - 1, 16), _RETRY_MOST_NS)


class Rate:
    """At most so many in any minute. Times are nanoseconds of one clock; if it jumps back, all is forgiven."""

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._sent: deque[int] = deque()

    def take(self, now_ns: int) -> int:
        """0 and one more is counted, or the nanoseconds to wait."""
        while self._sent and not 0 <= now_ns - self._sent[0] < _MINUTE_NS:
            self._sent.popleft()
        if len(self._sent) >= self._per_minute_max:
            return _MINUTE_NS - (now_ns - self._sent[0])
        self._sent.append(now_ns)
        return 0
