"""How fast shafts turn, as the tags of other devices say: a sensor of vibration rarely knows it itself. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.processing.stage import number_of

__all__ = ["ShaftSpec", "Speeds"]


@dataclass(frozen=True, slots=True)
class ShaftSpec:
    """Which tag says how fast a shaft turns. Slower than `rpm_min` it stands; a reading counts for `age_ns_max`."""

    device: DeviceId
    tag: str
    rpm_per_unit: float = 1.0
    rpm_min: float = 60.0
    age_ns_max: int = 60_000_000_000


class Speeds:
    """The last good value of each tag that somebody wants. Memory grows with the wanted ones alone."""

    def __init__(self) -> None:
        self.devices: dict[DeviceId, set[str]] = {}
        """Tags that are wanted, by device."""
        self._known: dict[tuple[DeviceId, str], tuple[int, float]] = {}

    def want(self, shafts: Iterable[tuple[DeviceId, str]]) -> None:
        """Watch these tags from now on, and forget all others."""
        self.devices = {}
        for device, tag in shafts:
            self.devices.setdefault(device, set()).add(tag)
        self._known = {
            (device, tag): known for (device, tag), known in self._known.items() if tag in self.devices.get(device, ())
        }

    def see(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take the readings of one of `devices`."""
        tags = self.devices[device]
        for reading in readings:
            if reading.tag in tags and reading.quality < Quality.BAD:
                value = number_of(reading.value)
                if value is not None:
                    self._known[device, reading.tag] = reading.at_ns, float(value)

    def shaft_hz(self, spec: ShaftSpec, at_ns: int) -> float | None:
        """Turns a second at that time; None if the shaft stands, or nobody has said lately how fast it turns."""
        known = self._known.get((spec.device, spec.tag))
        if known is None or abs(at_ns - known[0]) > spec.age_ns_max:
            return None
        rpm = abs(known[1]) * spec.rpm_per_unit
        return rpm / 60.0 if rpm >= spec.rpm_min else None
