"""What a gateway tells Prometheus, and its sign of life.

Nothing is counted here: a scrape reads the plain integers that the parts keep anyway, so a reading costs no
label look-up.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fieldline import __version__
from fieldline.model import DeviceId
from fieldline_edge.app import Gateway
from fieldline_edge.device_metrics import device_families
from fieldline_edge.drivers import DriverStats
from fieldline_edge.service.health import Signs, judge, page

__all__ = ["GatewayCollector", "signs_of"]


class GatewayCollector(Collector):
    """Everything a gateway knows about itself, at the moment of the scrape."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        build = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("fieldline_edge_build", "Version of the gateway.", build)
        yield from self._intake()
        yield from self._processing()
        yield from self._spool()
        yield from self._uplink()
        yield from self._driver_stats()
        yield from self._devices()
        yield from self._running()
        yield from device_families(self._gateway.drivers, listed=self._listed())
        yield self._commands()
        yield from self._process.collect()

    def health(self) -> dict[str, Any]:
        """What /healthz answers."""
        reload = self._gateway.reloader.state
        outcome = {"tries": reload.tries, "problems": list(reload.problems)}
        return page(judge(signs_of(self._gateway))) | {"version": __version__, "reload": outcome}

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

    def _processing(self) -> Iterator[Metric]:
        processor, intake = self._gateway.processor, self._gateway.intake
        stats = processor.stats
        suppressed = CounterMetricFamily(
            "fieldline_edge_readings_suppressed",
            "Readings that a stage of processing kept back, by stage.",
            labels=["stage"],
        )
        for stage in ("deadband", "door", "rate_limit", "aggregate", "waveform"):
            suppressed.add_metric([stage], getattr(stats, stage))
        yield suppressed
        failed = CounterMetricFamily(
            "fieldline_edge_derived_failed", "Times a derived tag had no good value, by reason.", labels=["reason"]
        )
        for reason, count in processor.failures.items():
            failed.add_metric([reason.value], count)
        yield failed
        yield _counter("processing_readings", "Readings that came into a device with processing.", stats.readings)
        yield _counter("processing_late", "Readings that came after their window was closed.", stats.late)
        yield _counter("processing_windows", "Windows closed.", stats.windows)
        yield _counter("processing_errors", "Faults of our own; the readings went on as they came.", stats.errors)
        yield _counter("readings_derived", "Readings of derived tags.", stats.derived)
        yield _counter("waveforms", "Waveforms whose features were told.", stats.waveforms)
        yield _counter("waveforms_cut", "Waveforms dropped, because they were not whole.", stats.waveforms_cut)
        learners = processor.learners.values()
        yield _gauge("anomaly_tags", "Tags that are learned.", len(learners))
        yield _gauge("anomaly_tags_learning", "Of these, not judged yet.", sum(each.learning for each in learners))
        yield _counter("anomaly_late", "Readings not judged: as old as one before, or older.", stats.anomaly_late)
        yield _counter("alerts", "Alerts raised or cleared.", intake.alerts)
        yield _counter("alerts_refused", "Alerts that no frame can hold.", intake.alerts_refused)
        yield _gauge("alerts_raised", "Alerts raised now.", len(processor.raised))
        yield _gauge("windows_held", "Windows open now.", processor.windows_held)

    def _commands(self) -> Metric:
        family = CounterMetricFamily(
            "fieldline_edge_commands", "Commands to write to a device, by what became of them.", labels=["outcome"]
        )
        for outcome in ("done", "refused", "failed", "unknown", "repeated"):
            family.add_metric([outcome], getattr(self._gateway.commands.stats, outcome))
        return family

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
        site, devices = self._gateway.settings.site, self._gateway.settings.devices
        kinds = {device.device_id(site): device.driver for device in devices}
        # In the middle of a reload, a driver may speak for devices that the settings no longer name.
        drivers = [(kinds[driver.devices[0]], driver) for driver in self._gateway.drivers if driver.devices[0] in kinds]
        for field in fields(DriverStats):
            sums: dict[str, int] = {}
            for kind, driver in drivers:
                sums[kind] = sums.get(kind, 0) + getattr(driver.stats, field.name)
            yield _by_driver(field.name, sums)

    def _devices(self) -> Iterator[Metric]:
        """One set of gauges for each device, up to `devices_max`; sums for all."""
        gateway = self._gateway
        settings = gateway.settings
        listed = self._listed()
        now_s = gateway.clock.monotonic()
        up = _gauges("device_up", "1 if the last readings of the device held any good one.", "device")
        quality = _gauges("device_quality", "Best quality among the last readings of the device.", "device")
        age = _gauges("device_last_good_age_seconds", "Since the last good reading of the device.", "device")
        sums = {"up": 0, "down": 0, "unknown": 0}
        for device in settings.devices:
            state = gateway.board.state(device.device_id(settings.site))
            sums["unknown" if state is None else "up" if state.up else "down"] += 1
            if state is None or device.device_id(settings.site) not in listed:
                continue
            label = [f"{device.area}/{device.name}"]
            up.add_metric(label, int(state.up))
            quality.add_metric(label, int(state.quality))
            if state.good_at_s is not None:
                age.add_metric(label, max(0.0, now_s - state.good_at_s))
        yield up
        yield quality
        yield age
        by_state = _gauges("devices", "Devices by state; unknown ones have brought no readings yet.", "state")
        for name, count in sums.items():
            by_state.add_metric([name], count)
        yield by_state
        unlisted = len(settings.devices) - len(listed)
        yield _gauge("devices_unlisted", "Devices over metrics.devices_max, without metrics of their own.", unlisted)

    def _listed(self) -> frozenset[DeviceId]:
        """Devices with metrics of their own: the first `metrics.devices_max`."""
        settings = self._gateway.settings
        most = settings.metrics.devices_max if settings.metrics else 0
        return frozenset(device.device_id(settings.site) for device in settings.devices[:most])

    def _running(self) -> Iterator[Metric]:
        gateway = self._gateway
        keeper, reload, heartbeat = gateway.keeper, gateway.reloader.state, gateway.heartbeat
        yield _gauge("loop_lag_seconds", "By how much the event loop was late at its last beat.", heartbeat.lag_s)
        yield _gauge("loop_lag_seconds_max", "The most in the last minute.", heartbeat.lag_s_max)
        yield _gauge("clock_synchronised", "1 while a time service keeps the clock.", int(keeper.synchronised))
        yield _gauge("clock_trusted", "0 while readings are marked because of the clock.", int(keeper.trusted))
        yield _gauge("clock_offset_seconds", "What the last correction added to stamps.", keeper.offset_ns / 1e9)
        yield _counter("clock_jumps", "Steps of the synchronised clock.", keeper.jumps)
        yield _counter("clock_corrected_frames", "Frames sent with corrected stamps.", keeper.corrected_frames)
        yield _counter("config_reloads", "Times the file was read again.", reload.tries)
        yield _counter("config_reloads_refused", "Of these, times it was wrong or needs a restart.", reload.refused)
        yield _gauge("config_refused", "1 while the file on disk is not the one in force.", int(bool(reload.problems)))
        yield _gauge("config_loaded_timestamp_seconds", "When the one in force was read.", reload.loaded_at_s)


def signs_of(gateway: Gateway) -> Signs:
    """What the parts of a gateway say now."""
    spool, settings = gateway.spool, gateway.settings
    states = {
        f"{device.area}/{device.name}": gateway.board.state(device.device_id(settings.site))
        for device in settings.devices
    }
    return Signs(
        spool_failing=spool.failing,
        spool_held_readings=spool.held.readings,
        backlog_frames=spool.state.frames,
        loop_silent_s=gateway.heartbeat.silent_s,
        hub_connected=gateway.uplink.connected,
        hub_error=gateway.uplink.last_error,
        drivers=len(gateway.drivers),
        driver_troubles=gateway.fleet.troubles,
        devices=len(settings.devices),
        devices_down=[name for name, state in states.items() if state is not None and not state.up],
        clock_trusted=gateway.keeper.trusted,
        clock_synchronised=gateway.keeper.synchronised,
        config_problems=gateway.reloader.state.problems,
    )


def _gauges(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fieldline_edge_{name}", text, labels=[label])


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
