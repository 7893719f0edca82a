"""How fast a backlog may be drained. Pure: the time is handed in."""

__all__ = ["Allowance"]


class Allowance:
    """A token bucket of one second; None: no bound.

    Something passes while anything is left, however large it is, and what it took too much is missing afterwards: the
    mean holds, and no frame is too large to pass.
    """

    def __init__(self, bytes_per_s: int | None) -> None:
        self._per_s = bytes_per_s
        self._level = float(bytes_per_s or 0)
        self._at_s: float | None = None

    def at_once(self, nbytes: int) -> int:
        """How much of so much is to be asked for at a time: a tenth of a second's worth."""
        return nbytes if self._per_s is None else min(nbytes, max(1, self._per_s // 10))

    def wait_s(self, now_s: float) -> float:
        """Seconds until something may pass; 0: now."""
        if self._per_s is None:
            return 0.0
        since_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._level = min(float(self._per_s), self._level + since_s * self._per_s)
        return 0.0 if self._level > 0 else (self._per_s / 10 - self._level) / self._per_s

    def take(self, nbytes: int) -> None:
        """So much has passed."""
        if self._per_s is not None:
            self._level -= nbytes

    def give(self, nbytes: int) -> None:
        """So much may pass on top: what comes in while the hub is there is no backlog, also where it goes in order."""
        if self._per_s is not None:
            self._level += nbytes
