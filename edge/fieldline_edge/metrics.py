"""What a gateway tells Prometheus, and its sign of life.

Nothing is counted here: a scrape reads the plain integers that the parts keep anyway, so a reading costs no
label look-up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fieldline import __version__
from fieldline_edge.app import Gateway
from fieldline_edge.drivers import DriverStats

__all__ = ["GatewayCollector"]


class GatewayCollector(Collector):
    """Everything a gateway knows about itself, at the moment of the scrape."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        kinds = {device.device_id(gateway.settings.site): device.driver for device in gateway.settings.devices}
        self._process = ProcessCollector(registry=None)
        self._drivers = [(kinds[driver.devices[0]], driver) for driver in gateway.drivers]

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield InfoMetricFamily("fieldline_edge_build", "Version of the gateway.", {"version": __version__})
        yield from self._intake()
        yield from self._spool()
        yield from self._uplink()
        yield from self._driver_stats()
        yield from self._process.collect()

    def health(self) -> dict[str, Any]:
        """What /healthz answers. Not ok only while readings are at risk: a hub that is away is normal."""
        spool = self._gateway.spool
        return {
            "ok": not spool.failing,
            "spool": spool.failing or "ok",
            "uplink": "connected" if self._gateway.uplink.connected else "away",
            "backlog_frames": spool.state.frames,
        }

    def _intake(self) -> Iterator[Metric]:
        intake, spool = self._gateway.intake, self._gateway.spool
        yield _counter("readings_polled", "Readings taken from devices, over all starts.", spool.readings_polled)
        quality = CounterMetricFamily(
            "fieldline_edge_readings", "Readings since this start, by quality.", labels=["quality"]
        )
        for name, count in (("good", intake.good), ("uncertain", intake.uncertain), ("bad", intake.bad)):
            quality.add_metric([name], count)
        yield quality
        yield _counter("readings_refused", "Readings that no frame can hold.", intake.refused)
        yield _gauge("readings_waiting", "Readings in the batcher.", intake.waiting)

    def _spool(self) -> Iterator[Metric]:
        spool, intake = self._gateway.spool, self._gateway.intake
        state = spool.state
        age_s = 0.0
        if state.oldest_at_ns is not None:
            age_s = max(0.0, (self._gateway.clock.time_ns() - state.oldest_at_ns) / 1e9)
        yield _counter("readings_spooled", "Readings safe on disk.", state.readings_spooled)
        yield _counter("readings_acknowledged", "Readings the hub has stored.", state.readings_acked)
        yield _counter("readings_not_taken", "Readings left out while the full spool stops polling.", intake.not_taken)
        yield _counter("readings_dropped", "Readings lost to a bound of spool or memory.", spool.readings_dropped)
        yield _counter("frames_spooled", "Frames safe on disk.", state.frames_spooled)
        yield _counter("frames_dropped", "Frames lost to a bound of the spool.", state.frames_dropped)
        yield _counter("spool_commits", "Transactions, one fsync each.", spool.commits)
        yield _counter("spool_errors", "Failed tries to use the spool's disk.", spool.errors)
        yield _gauge("spool_failing", "1 while the spool cannot be written.", int(bool(spool.failing)))
        yield _gauge("spool_held_readings", "Readings in memory that wait for the disk.", spool.held.readings)
        yield _gauge("spool_backlog_frames", "Frames the hub has not acknowledged.", state.frames)
        yield _gauge("spool_backlog_bytes", "Bytes of these frames.", state.bytes)
        yield _gauge("spool_oldest_age_seconds", "Age of the oldest of these frames.", age_s)
        yield _gauge(
            "spool_lanes", "Numberings in use: two, and more while a backlog is drained newest-first.", len(state.lanes)
        )
        yield _gauge("spool_paused", "1 while the full spool stops polling.", int(spool.is_full))
        yield _counter("spool_bytes_written", "Bytes handed to the disk, estimated by pages.", spool.bytes_written)
        yield _gauge("spool_bytes_max", "Bound of the spool's file.", self._gateway.settings.spool.bytes_max)

    def _uplink(self) -> Iterator[Metric]:
        uplink = self._gateway.uplink
        yield _gauge("uplink_connected", "1 while the hub takes frames.", int(uplink.connected))
        yield _counter("uplink_connects", "Connections made to the hub.", uplink.connects)
        yield _counter("uplink_refusals", "Times the hub refused for good.", uplink.refusals)
        yield _counter("uplink_rate_limited", "Times the hub asked to wait, by its rate limit.", uplink.rate_limited)
        yield _counter("uplink_frames_sent", "Frames sent, repeats included.", uplink.frames_sent)
        yield _counter("uplink_bytes_sent", "Bytes of frames sent, repeats included.", uplink.bytes_sent)

    def _driver_stats(self) -> Iterator[Metric]:
        yield _counter("driver_restarts", "Drivers restarted after a fault of ours.", self._gateway.driver_restarts)
        for field in fields(DriverStats):
            sums: dict[str, int] = {}
            for kind, driver in self._drivers:
                sums[kind] = sums.get(kind, 0) + getattr(driver.stats, field.name)
            yield _by_driver(field.name, sums)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"fieldline_edge_{name}", text, value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fieldline_edge_{name}", text, value)


def _by_driver(name: str, sums: Mapping[str, int]) -> Metric:
    family: CounterMetricFamily | GaugeMetricFamily
    text = f"{name.replace('_', ' ').capitalize()}, summed over the drivers of one kind."
    if name == "connected":
        family = GaugeMetricFamily("fieldline_edge_driver_connected", text, labels=["driver"])
    else:
        family = CounterMetricFamily(f"fieldline_edge_driver_{name}", text, labels=["driver"])
    for kind, count in sums.items():
        family.add_metric([kind], count)
    return family
