"""What each device is asked, for Prometheus: which of many refuses addresses, and which poll groups come late."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from fieldline.model import DeviceId
from fieldline_edge.drivers.base import Driver, GroupStats, HasDeviceStats

__all__ = ["device_families"]

_POLLS = {
    "polls": "Looks at a poll group of a device.",
    "polls_failed": "Polls in which at least one request got no good answer.",
    "polls_late": "Polls begun more than a tenth of the period after they were due.",
    "polls_missed": "Polls never begun, because the one before was still running.",
    "polls_skipped": "Polls not made, because the device is being left alone.",
}
_RANGES_MAX = 10
assert list(_POLLS) == [field.name for field in fields(GroupStats)]


def device_families(drivers: Iterable[Driver], *, listed: Collection[DeviceId]) -> Iterator[Metric]:
    """Families about those of the drivers' devices that are listed; `group` is empty for a device's own period."""
    devices = [
        stats
        for driver in drivers
        if isinstance(driver, HasDeviceStats)
        for stats in driver.device_stats
        if stats.device in listed
    ]
    refused = GaugeMetricFamily(
        "fieldline_edge_device_ranges_refused",
        "Address ranges the device refuses, which are left out.",
        labels=["device"],
    )
    which = GaugeMetricFamily(
        "fieldline_edge_device_range_refused",
        "1 for each of these ranges, like `holding 100-120`; at most 10 of a device.",
        labels=["device", "range"],
    )
    for stats in devices:
        label = _label(stats.device)
        refused.add_metric([label], len(stats.ranges_refused))
        for each in stats.ranges_refused[:_RANGES_MAX]:
            which.add_metric([label, each], 1)
    yield from (refused, which)
    for name, text in _POLLS.items():
        polls = CounterMetricFamily(f"fieldline_edge_device_{name}", text, labels=["device", "group"])
        for stats in devices:
            for group, counts in stats.groups.items():
                polls.add_metric([_label(stats.device), group], getattr(counts, name))
        yield polls


def _label(device: DeviceId) -> str:
    """Every device of a gateway stands at its site."""
    return f"{device.area}/{device.device}"
