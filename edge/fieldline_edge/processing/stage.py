"""What the stages of a tag have in common. Pure: times are handed in, readings are handed on by a call.

A stage gets every reading of one tag in the order it was taken and hands on what should travel. `now_s` is the time of
arrival on a clock that never goes back; it says only when something that is held has waited long enough. What a value
means is judged by the reading's own time, `at_ns`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from fieldline.model import Reading, Value

__all__ = ["NEVER_S", "Emit", "ProcessingStats", "Stage", "is_same", "number_of"]

NEVER_S: Final = math.inf
"""`due_at_s` of a stage that holds nothing."""
_INT_MAX: Final = 1 << 64

Emit = Callable[[Reading, float], None]
"""Takes a reading and the time of now in seconds: the next stage, or the way out."""


@dataclass(slots=True)
class ProcessingStats:
    """Counters of everything between drivers and batcher since the start. They only grow.

    A reading that comes in is handed on, or counted by the stage that kept it back, or held at this moment.
    """

    readings: int = 0  # that came into a device with processing
    deadband: int = 0  # not handed on: the value had not moved
    door: int = 0  # not handed on: a straight line says the same
    rate_limit: int = 0  # not handed on: another one of the same slot was
    aggregate: int = 0  # went into a window, and not on by itself
    waveform: int = 0  # samples of waveforms that do not travel themselves
    waveforms: int = 0  # captures whose features were told
    waveforms_cut: int = 0  # captures dropped, because they were not whole
    late: int = 0  # came after the window they belong to was closed, and are in none
    windows: int = 0  # closed
    derived: int = 0  # readings of derived tags
    anomaly_late: int = 0  # not judged: as old as one before, or older
    alerts: int = 0  # raised or cleared
    errors: int = 0  # faults of our own, logged with a traceback; the readings went on as they came


class Stage(Protocol):
    """One step on the way of one tag."""

    due_at_s: float
    """When `tick` has something to do; NEVER_S while nothing is held."""

    def put(self, reading: Reading, now_s: float) -> None:
        """Take a reading of the tag."""
        ...

    def tick(self, now_s: float) -> None:
        """Hand on what has waited long enough."""
        ...

    def flush(self, now_s: float) -> None:
        """Hand on everything that is held: at the end."""
        ...


def number_of(value: Value) -> float | None:
    """The value as a finite number to compute with; None for text, for nothing, and beyond what a reading can carry."""
    if type(value) is float:
        return value if value - value == 0.0 else None  # infinities and NaN give NaN, which is unequal to 0
    if type(value) is int or type(value) is bool:
        return value if -_INT_MAX < value < _INT_MAX else None
    return None


def is_same(one: Value, other: Value) -> bool:
    """Whether two values say the same; NaN, which a broken sensor may send for days, says the same as NaN."""
    return type(one) is type(other) and (one == other or (one != one and other != other))
