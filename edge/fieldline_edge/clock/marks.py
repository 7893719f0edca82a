"""Marks readings whose time comes from a clock that is not synchronised."""

from collections.abc import Sequence
from dataclasses import replace

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.clock.port import GatewayClock
from fieldline_edge.drivers.base import Sink

__all__ = ["ClockMarks", "marked"]

# A stamp this near to our own time is our own; others come from a payload, and the sensor's clock is not ours to judge.
_OURS_NS = 60_000_000_000


class ClockMarks:
    """A sink before the intake: passes readings on, as they are while the clock is trusted."""

    def __init__(self, sink: Sink, clock: GatewayClock) -> None:
        self._sink = sink
        self._clock = clock

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device."""
        if not self._clock.trusted:
            readings = marked(readings, self._clock.time_ns())
        self._sink.put(device, readings)


def marked(readings: Sequence[Reading], now_ns: int) -> list[Reading]:
    """The same readings, with UNCERTAIN_CLOCK where the stamp is ours and the quality has nothing worse to say."""
    return [
        replace(reading, quality=Quality.UNCERTAIN_CLOCK)
        if reading.quality <= Quality.UNCERTAIN and abs(reading.at_ns - now_ns) <= _OURS_NS
        else reading
        for reading in readings
    ]
