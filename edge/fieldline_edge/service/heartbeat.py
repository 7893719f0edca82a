"""How late the event loop is: every part of the gateway shares it, so this is what one that blocks it shows by."""

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["BEAT_S", "Heartbeat"]

BEAT_S = 1.0
_REMEMBERED = 60


class Heartbeat:
    """Part of a gateway: beats once a second, and remembers by how much the last minute's beats were late."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self.beats = 0
        self.on_beat: list[Callable[[float], None]] = []
        """Called at each beat with the time of the monotonic clock."""
        self._clock_s = clock_s
        self._lags_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._last_s = clock_s()

    @property
    def lag_s(self) -> float:
        """By how much the last beat was late."""
        return self._lags_s[-1] if self._lags_s else 0.0

    @property
    def lag_s_max(self) -> float:
        """The most in the last minute."""
        return max(self._lags_s, default=0.0)

    @property
    def silent_s(self) -> float:
        """How long ago the last beat was. May be asked from another thread, which is the point of it."""
        return self._clock_s() - self._last_s

    async def run(self) -> None:
        """Beat until cancelled."""
        self._last_s = self._clock_s()
        while True:
            await asyncio.sleep(BEAT_S)
            now_s = self._clock_s()
            self._lags_s.append(max(0.0, now_s - self._last_s - BEAT_S))
            self._last_s = now_s
            self.beats += 1
            for listener in self.on_beat:
                listener(now_s)
