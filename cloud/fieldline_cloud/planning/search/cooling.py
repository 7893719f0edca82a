"""How long the search goes on and how much worse a step it takes: temperatures that fall.

Simulated annealing: a step that costs d more is taken with the chance exp(-d / temperature).
"""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Cooling", "Cycles", "Schedule"]

_LENGTH_FIRST = 1_000
_GROWTH = 2


class Schedule(Protocol):
    """Asked once before each step."""

    def temperature(self) -> float | None:
        """The temperature as a factor from 1 (hot) down to almost 0; None: the search is over."""

    def restarts(self) -> bool:
        """Whether a new cycle has just begun, which starts from the best state."""


class Cooling:
    """One fall from hot to cold over a budget that is known: `progress` gives its share used, 1.0 at its end."""

    def __init__(self, progress: Callable[[], float], *, cold: float = 0.01) -> None:
        self._progress = progress
        self._cold = cold

    def temperature(self) -> float | None:
        """See Schedule."""
        share = self._progress()
        return None if share >= 1.0 else self._cold**share

    def restarts(self) -> bool:
        """Never."""
        return False


class Cycles:
    """For a budget that nobody knows: falls that take twice as long each time, until `expired`."""

    def __init__(self, expired: Callable[[], bool], *, cold: float = 0.01) -> None:
        self._expired = expired
        self._cold = cold
        self._length = _LENGTH_FIRST
        self._step = 0

    def temperature(self) -> float | None:
        """See Schedule."""
        if self._expired():
            return None
        self._step += 1
        if self._step > self._length:
            self._step, self._length = 1, self._length * _GROWTH
        return float(self._cold ** (self._step / self._length))

    def restarts(self) -> bool:
        """At the first step of each cycle."""
        return self._step == 1
