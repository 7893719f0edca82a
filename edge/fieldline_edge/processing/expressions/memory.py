"""What delta, rate and integral remember of a tag. Pure."""

from typing import Protocol

from fieldline.model import Reading
from fieldline_edge.processing.stage import number_of

__all__ = ["Delta", "Integral", "Memory", "Rate"]


class Memory(Protocol):
    """Sees every reading of one tag, in order. `value` is None while there is not enough to say."""

    value: float | None

    def see(self, reading: Reading) -> None:
        """Take the next reading."""
        ...


def _usable(reading: Reading) -> float | None:
    return None if reading.quality.is_bad else number_of(reading.value)


class Delta:
    """What was added between the last two usable readings. With `wraps_at` a counter that begins again at 0 goes on."""

    __slots__ = ("_last", "_wraps_at", "value")

    def __init__(self, wraps_at: float | None) -> None:
        self._wraps_at = wraps_at
        self._last: float | None = None
        self.value: float | None = None

    def see(self, reading: Reading) -> None:
        """Take the next reading."""
        now = _usable(reading)
        if now is None:
            return
        if self._last is not None:
            change = now - self._last
            self.value = change if self._wraps_at is None or change >= 0 else change % self._wraps_at
        self._last = now


class Rate:
    """What was added per second between the last two usable readings; time that stands still or goes back says
    nothing.
    """

    __slots__ = ("_delta", "_last_ns", "value")

    def __init__(self, wraps_at: float | None) -> None:
        self._delta = Delta(wraps_at)
        self._last_ns = 0
        self.value: float | None = None

    def see(self, reading: Reading) -> None:
        """Take the next reading."""
        if _usable(reading) is None:
            return
        self._delta.see(reading)
        passed_ns = reading.at_ns - self._last_ns
        self._last_ns = reading.at_ns
        change = self._delta.value
        self.value = change * 1e9 / passed_ns if change is not None and passed_ns > 0 else None


class Integral:
    """Value times seconds since the start of the gateway, as trapezoids; no area across a bad reading."""

    __slots__ = ("_last", "value")

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self.value: float | None = 0.0

    def see(self, reading: Reading) -> None:
        """Take the next reading."""
        now = _usable(reading)
        if now is None:
            self._last = None
            return
        if self._last is not None and reading.at_ns > self._last[0]:
            assert self.value is not None, "it begins with 0"
            self.value += (now + self._last[1]) / 2 * ((reading.at_ns - self._last[0]) / 1e9)
        self._last = (reading.at_ns, now)
