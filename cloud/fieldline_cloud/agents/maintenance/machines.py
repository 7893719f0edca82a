"""What is known of the machines: how much hangs on them, where they are, what feeds them, when they may stop. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from enum import IntEnum

from fieldline.model import DeviceId
from fieldline.topics import matches
from fieldline_cloud.agents.maintenance.shifts import Shift, spans_of

__all__ = ["Criticality", "Machine", "Machines"]


class Criticality(IntEnum):
    """How much hangs on a machine."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    VITAL = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """What holds for all devices whose `site/area/device` matches a filter such as `demo/+/pump-1`."""

    match: str = "#"
    criticality: Criticality | None = None
    place: str | None = None
    """Where it stands, as the travel table calls it."""
    fed_by: tuple[str, ...] = ()
    """Devices it hangs on, as site/area/device."""
    windows: tuple[Shift, ...] = ()
    """When it may stand still; none: at any time."""


class Machines:
    """The machines of a plant. Of several entries that match, the first that says something of a matter counts."""

    def __init__(self, machines: Iterable[Machine], zone: tzinfo) -> None:
        self._machines = tuple(machines)
        self._zone = zone

    def criticality(self, device: DeviceId) -> Criticality:
        """NORMAL where nothing is said."""
        return next((one.criticality for one in self._of(device) if one.criticality is not None), Criticality.NORMAL)

    def place(self, device: DeviceId) -> str:
        """The area of the device where nothing is said."""
        return next((one.place for one in self._of(device) if one.place), device.area)

    def feeders(self, device: DeviceId) -> frozenset[str]:
        """All devices this one hangs on, also by way of others. A ring in the file does no harm."""
        found: set[str] = set()
        ahead = [device]
        while ahead:
            direct = {name for one in self._of(ahead.pop()) for name in one.fed_by} - found
            found |= direct
            ahead += [DeviceId(*name.split("/")) for name in direct]
        return frozenset(found - {str(device)})

    def standstill(self, device: DeviceId, from_ns: int, days: int) -> Sequence[tuple[int, int]] | None:
        """When the machine may stand still, as (start, end) in Unix nanoseconds; None: at any time."""
        windows = next((one.windows for one in self._of(device) if one.windows), ())
        return spans_of(windows, self._zone, from_ns, days) if windows else None

    def _of(self, device: DeviceId) -> Iterable[Machine]:
        name = str(device)
        return (one for one in self._machines if matches(one.match, name))
