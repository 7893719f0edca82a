"""How long to leave something alone that does not answer: exponential, bounded, with jitter. Pure."""

import random

__all__ = ["Backoff"]

_DOUBLINGS_MAX = 32


class Backoff:
    """Waits about base, 2 x base, 4 x base ... up to the maximum, each cut by up to half at random.

    The jitter keeps devices that fell silent together from being asked together for ever. `source` is the
    source of randomness, so a test can repeat a run. Times are seconds of one monotonic clock, handed in.
    """

    def __init__(self, *, base_s: float, max_s: float, source: random.Random) -> None:
        self.failures = 0
        self._base_s = min(base_s, max_s)
        self._max_s = max_s
        self._source = source
        self._ready_at_s = float("-inf")

    def failed(self, now_s: float) -> None:
        """Note a failure: `ready` is false for a while."""
        wait_s = min(self._max_s, self._base_s * 2 ** min(self.failures, _DOUBLINGS_MAX))
        self._ready_at_s = now_s + wait_s * self._source.uniform(0.5, 1.0)
        self.failures += 1

    def succeeded(self) -> None:
        """Forget all failures."""
        self.failures = 0
        self._ready_at_s = float("-inf")

    def hurry(self) -> None:
        """Be ready now, and still remember the failures."""
        self._ready_at_s = float("-inf")

    def ready(self, now_s: float) -> bool:
        """Whether it is time to try again."""
        return now_s >= self._ready_at_s
