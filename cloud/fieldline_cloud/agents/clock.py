"""By which clock an agent judges and plans: the wall's, or the faster one of a simulated plant.

Waiting stays in real time: ticks, saves and retries are about this machine and not about the plant.
"""

import time
from collections.abc import Callable

from fieldline.scaled_clock import ScaledClock

__all__ = ["ScaledClock", "clock_of"]


def clock_of(text: str, *, wall_ns: Callable[[], int] = time.time_ns) -> Callable[[], int]:
    """What tells the time in Unix nanoseconds, as a setting of type ClockText says. ValueError if it is no clock."""
    if not text:
        return wall_ns
    clock = ScaledClock.parse(text)
    return lambda: clock.at(wall_ns())
