"""Whether the gateway may tell the watchdog that it is well. Pure: times and counts are handed in.

It may while the event loop beats, which it does if this is asked at all, and while the spool's writer gets
anywhere. A disk that fails is progress: every failed try is counted, and a restart would not mend it. A write
that neither succeeds nor fails for a minute is not.
"""

__all__ = ["Watchdog", "ping_every_s"]

STALLED_AFTER_S = 60.0


class Watchdog:
    """Judges the spool's writer: `done` grows with each try to commit, `waiting` is what it has to do."""

    def __init__(self, *, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._stalled_after_s = stalled_after_s
        self._done = -1
        self._since_s = 0.0

    def is_well(self, now_s: float, *, done: int, waiting: int) -> bool:
        """Whether to tell the watchdog so now."""
        if done != self._done or not waiting:
            self._done = done
            self._since_s = now_s
        return now_s - self._since_s < self._stalled_after_s


def ping_every_s(watchdog_usec: str, watchdog_pid: str, *, pid: int) -> float | None:
    """Seconds between two signs of life, half of what systemd waits for; None if it waits for none of this process.

    `watchdog_usec` and `watchdog_pid` are the variables WATCHDOG_USEC and WATCHDOG_PID, see sd_watchdog_enabled(3).
    """
    if watchdog_pid and watchdog_pid != str(pid):
        return None
    if not watchdog_usec.isascii() or not watchdog_usec.isdecimal() or int(watchdog_usec) == 0:
        return None
    return int(watchdog_usec) / 2e6
