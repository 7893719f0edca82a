"""How long to wait before trying again. Pure: randomness is handed in, time is not known here."""

from dataclasses import dataclass, field
from random import Random

__all__ = ["Backoff"]


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with full jitter: each pause is drawn between a tenth of the ceiling and the ceiling.

    The ceiling starts at `first_s`, doubles with every failure and stops at `max_s`. Jitter keeps a hundred gateways
    from coming back in the same instant after the hub restarts (Brooker, "Exponential Backoff And Jitter", 2015).
    """

    first_s: float = 0.1
    max_s: float = 10.0
    random: Random = field(default_factory=Random)
    _failures: int = 0

    def next_pause_s(self) -> float:
        """Seconds to wait before the next try; call once per failure."""
        ceiling_s = min(self.max_s, self.first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self.random.uniform(ceiling_s / 10, ceiling_s)

    def reset(self) -> None:
        """A try has succeeded: start again from `first_s`."""
        self._failures = 0
