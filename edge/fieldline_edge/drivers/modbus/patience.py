"""How much of a line's time goes to units that are lost, while others on it answer. Pure."""

import random

__all__ = ["Patience"]

# Asking a lost unit holds the line for a timeout, and on a serial one for the quiet time after it. In the long run this
# takes less than a twentieth of the time, however many units are lost; for a start there is some time to find one
# again that was only restarted.
_SHARE = 0.045
_START_S = 6.0
_LOTTERY = (1.0, 1.25)


class Patience:
    """Time for lost units, shared by the devices on one line. Times are seconds of one monotonic clock.

    What a silent unit costs is stretched a little at random, so that it is not always the same unit that comes first
    when there is time again. While no unit answers at all there is nobody to be considerate of.
    """

    def __init__(self, units: int, *, source: random.Random) -> None:
        self._units = units
        self._source = source
        self._lost: set[str] = set()
        self._left_s = _START_S
        self._at_s: float | None = None  # when `_left_s` was right

    def may_ask(self, now_s: float) -> bool:
        """Whether a lost unit may be asked now."""
        return len(self._lost) >= self._units or self._earned(now_s) > 0

    def asked_in_vain(self, unit: str, now_s: float, *, cost_s: float) -> None:
        """A unit was silent, which has held the line for `cost_s`."""
        self._lost.add(unit)
        self._left_s = self._earned(now_s) - cost_s * self._source.uniform(*_LOTTERY)
        self._at_s = now_s

    def answered(self, unit: str) -> None:
        """A unit has answered."""
        self._lost.discard(unit)

    def _earned(self, now_s: float) -> float:
        since_s = 0.0 if self._at_s is None else now_s - self._at_s
        return min(_START_S, self._left_s + _SHARE * since_s)
