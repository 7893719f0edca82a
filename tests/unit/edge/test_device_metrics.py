"""Metrics of single devices: those that are listed, and no more address ranges than a page can bear."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldline.model import DeviceId
from fieldline_edge.device_metrics import device_families
from fieldline_edge.drivers.base import DeviceStats, DriverStats, GroupStats

PUMP, FAN = DeviceId("site", "hall", "pump"), DeviceId("site", "hall", "fan")


@dataclass
class Driver:
    device_stats: Sequence[DeviceStats]
    stats: DriverStats = field(default_factory=DriverStats)
    devices: Sequence[DeviceId] = ()

    async def run(self) -> None: ...


def samples(*devices: DeviceStats, listed: Sequence[DeviceId]) -> dict[str, dict[tuple[str, ...], float]]:
    families = device_families([Driver(devices)], listed=listed)
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def test_polls_are_counted_by_device_and_group() -> None:
    found = samples(DeviceStats(PUMP, {"": GroupStats(), "fast": GroupStats(polls_late=3)}), listed=[PUMP])

    assert found["fieldline_edge_device_polls_late"] == {("hall/pump", ""): 0, ("hall/pump", "fast"): 3}


def test_a_device_that_is_not_listed_has_no_series() -> None:
    assert samples(DeviceStats(FAN, {"": GroupStats()}), listed=[PUMP])["fieldline_edge_device_polls"] == {}


def test_refused_ranges_are_named_up_to_ten() -> None:
    stats = DeviceStats(PUMP, {})
    stats.ranges_refused = tuple(f"holding {number}" for number in range(12))

    found = samples(stats, listed=[PUMP])

    assert found["fieldline_edge_device_ranges_refused"] == {("hall/pump",): 12}
    assert len(found["fieldline_edge_device_range_refused"]) == 10
