"""The state of each device, as its readings tell it: a sink that looks at what passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.base import Clock, Sink

__all__ = ["DeviceBoard", "DeviceState"]


@dataclass(slots=True)
class DeviceState:
    """One device: the best quality among the readings it last handed over, and when one was last no bad one."""

    quality: Quality
    at_s: float  # of the last readings, by the monotonic clock
    good_at_s: float | None  # of the last readings that were not all bad

    @property
    def up(self) -> bool:
        """Whether its last readings held any that may be used."""
        return not self.quality.is_bad


class DeviceBoard:
    """Passes readings on, and remembers the state of every device that ever brought any."""

    def __init__(self, sink: Sink, *, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._states: dict[DeviceId, DeviceState] = {}

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device."""
        if readings:
            # Nearly always the first one is good: then this costs the same for a device of two tags and of two hundred.
            best = readings[0].quality
            if best:
                best = min(reading.quality for reading in readings)
            self._note(device, best)
        self._sink.put(device, readings)

    def state(self, device: DeviceId) -> DeviceState | None:
        """What is known of a device; None until it brought readings."""
        return self._states.get(device)

    def forget(self, devices: Iterable[DeviceId]) -> None:
        """These devices are gone."""
        for device in devices:
            self._states.pop(device, None)

    def _note(self, device: DeviceId, best: Quality) -> None:
        now_s = self._clock.monotonic()
        state = self._states.get(device)
        if state is None:
            state = self._states[device] = DeviceState(best, now_s, None)
        state.quality = best
        state.at_s = now_s
        if not best.is_bad:
            state.good_at_s = now_s
