"""/metrics and /healthz of a hub. Values are plain counters read at scrape time; hot paths pay nothing."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from fieldline import __version__
from fieldline_cloud.hub.committer import COMMIT_BUCKETS_S
from fieldline_cloud.hub.core.conditions import CONDITIONS
from fieldline_cloud.hub.core.entry import DurableCounts
from fieldline_cloud.hub.subscribers import LiveSubscriber

if TYPE_CHECKING:
    from fieldline_cloud.hub.hub import Hub

__all__ = ["HubCollector"]

_OF_DURABLES: tuple[tuple[str, str, Callable[[DurableCounts], int]], ...] = (
    ("redelivered", "Deliveries of a durable subscription that were not the first.", lambda of: of.redelivered),
    ("dead_letters", "Frames a durable subscription gave up.", lambda of: of.given_up),
    (
        "trimmed_offsets",
        "Offsets retention took before a durable subscription had read them.",
        lambda of: of.trimmed,
    ),
)


class HubCollector(Collector):
    """Everything a hub can say about itself. Labels: error code, durable, method, condition, file; all are bounded."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """One pass over the counters."""
        yield InfoMetricFamily("fieldline_build", "Version of this hub.", value={"version": __version__})
        yield from self._traffic()
        yield from self._state()
        yield self._commits()
        yield self._refusals()
        yield from self._troubles()
        yield from self._backlog()
        yield from self._agents()
        yield self._admin_calls()

    def _traffic(self) -> Iterator[Metric]:
        counters = self._hub.broker.statistics
        for name, text, value in (
            ("frames_stored", "Frames appended to the log.", counters.frames_stored),
            ("messages_stored", "Messages (or readings) in those frames.", counters.messages_stored),
            ("bytes_stored", "Bytes of those frames, as they are delivered.", counters.bytes_stored),
            (
                "frames_duplicate",
                "Frames that were here already, acknowledged and dropped.",
                counters.frames_duplicate,
            ),
            ("frames_delivered", "Frames sent to subscribers.", counters.frames_delivered),
            ("bytes_delivered", "Bytes of those frames.", counters.bytes_delivered),
            ("frames_missed", "Frames lost by live subscribers that read too slowly.", self._missed()),
            ("frames_expired", "Frames not delivered because their time to live was over.", self._expired()),
            ("frames_volatile", "Frames handed on that are not stored.", counters.frames_volatile),
            ("acks", "Acks of subscribers, single ones and cumulative ones.", counters.acks),
            ("nacks", "Deliveries that subscribers could not handle.", counters.nacks),
            (
                "receipts_forgotten",
                "Receipts that were not told, for too many waited.",
                self._receipts_forgotten(),
            ),
            ("frames_trimmed", "Frames that left the log by retention.", counters.frames_trimmed),
        ):
            yield CounterMetricFamily(f"fieldline_hub_{name}", text, value=value)

    def _missed(self) -> int:
        broker = self._hub.broker
        volatile = sum(desk.core.counts.missed_volatile for desk in broker.durables.desks)
        return volatile + broker.statistics.frames_missed + sum(one.missed_total for one in list(broker.subscribers))

    def _expired(self) -> int:
        broker = self._hub.broker
        of_durables = sum(desk.core.counts.expired for desk in broker.durables.desks)
        of_live = sum(one.outlet.expired_total for one in list(broker.subscribers) if isinstance(one, LiveSubscriber))
        return of_durables + of_live + broker.statistics.frames_expired

    def _receipts_forgotten(self) -> int:
        return self._hub.broker.receipts.forgotten

    def _state(self) -> Iterator[Metric]:
        broker, log = self._hub.broker, self._hub.broker.engine.statistics()
        subscribers = list(broker.subscribers)
        for name, text, value in (
            ("publish_streams", "Open publish streams.", broker.statistics.publish_streams),
            ("subscribe_streams", "Open subscribe streams.", broker.statistics.subscribe_streams),
            ("half_open_streams", "Streams that have not said hello yet.", self._hub.half_open_streams),
            (
                "subscribers_behind",
                "Subscribers reading from the log.",
                sum(s.behind for s in subscribers),
            ),
            (
                "queued_bytes",
                "Bytes waiting for subscribers.",
                sum(s.queued_bytes for s in subscribers),
            ),
            ("pending_bytes", "Bytes waiting for the disk.", broker.committer.pending_bytes),
            (
                "certificate_not_after_seconds",
                "Unix time at which the hub's certificate ends; 0 without TLS.",
                self._hub.certificates.not_after_s if self._hub.certificates else 0,
            ),
            ("log_first_offset", "Oldest offset kept.", log.first_offset),
            ("log_next_offset", "Offset the next frame will get.", log.next_offset),
            ("log_bytes", "Bytes of frames kept.", log.frames_bytes),
            ("log_file_bytes", "Bytes on disk.", log.file_bytes),
            ("log_damaged_bytes", "Bytes found damaged since the start; their frames are lost.", log.damaged_bytes),
            ("log_held_bytes", "Bytes over retention, kept because a durable with hold waits.", log.held_bytes),
        ):
            yield GaugeMetricFamily(f"fieldline_hub_{name}", text, value=value)

    def _commits(self) -> Metric:
        statistics = self._hub.broker.committer.statistics
        total, buckets = 0, []
        for bound, count in zip((*map(str, COMMIT_BUCKETS_S), "+Inf"), statistics.buckets, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(
            "fieldline_hub_commit_seconds",
            "Time of one group commit, fsync included.",
            buckets=buckets,
            sum_value=statistics.commit_seconds,
        )

    def _refusals(self) -> Metric:
        family = CounterMetricFamily("fieldline_hub_refusals", "Streams ended with an error.", labels=["code"])
        for code, count in sorted(self._hub.refusals.items()):
            family.add_metric([code], count)
        return family

    def _troubles(self) -> Iterator[Metric]:
        active = self._hub.conditions
        family = GaugeMetricFamily(
            "fieldline_hub_condition", "1 while the hub itself has this trouble.", labels=["condition"]
        )
        for condition in CONDITIONS:
            family.add_metric([condition], condition in active)
        yield family
        failures = CounterMetricFamily(
            "fieldline_hub_reload_failures",
            "Changed files that could not be used, so that the old ones stayed in force.",
            labels=["file"],
        )
        for file, count in sorted(self._hub.reload_failures.items()):
            failures.add_metric([file], count)
        yield failures

    def _backlog(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "fieldline_hub_durable_backlog_offsets",
            "Offsets a durable subscription has not acknowledged.",
            labels=["durable"],
        )
        broker = self._hub.broker
        desks = broker.durables.desks
        for desk in desks:
            family.add_metric([desk.core.name], max(0, broker.tail - desk.core.next_offset))
        yield family
        pending = GaugeMetricFamily(
            "fieldline_hub_durable_pending_frames",
            "Frames of a durable subscription that are with its clients, or wait for another try.",
            labels=["durable"],
        )
        for desk in desks:
            pending.add_metric([desk.core.name], desk.core.pending)
        yield pending
        for name, text, value_of in _OF_DURABLES:
            counted = CounterMetricFamily(f"fieldline_hub_durable_{name}", text, labels=["durable"])
            for desk in desks:
                counted.add_metric([desk.core.name], value_of(desk.core.counts))
            yield counted
        failures = broker.committer.statistics.failures
        yield CounterMetricFamily("fieldline_hub_commit_failures", "Group commits that failed.", value=failures)

    def _agents(self) -> Iterator[Metric]:
        attendance = self._hub.attendance
        counters = attendance.statistics
        yield GaugeMetricFamily("fieldline_hub_agents", "Agents that are present.", value=len(attendance.registry))
        for name, text, value in (
            ("joins", "Agents that joined.", counters.joins),
            ("leaves", "Agents that left.", counters.leaves),
            ("timeouts", "Agents that fell silent, and were taken to be gone.", counters.timeouts),
        ):
            yield CounterMetricFamily(f"fieldline_hub_agent_{name}", text, value=value)

    def _admin_calls(self) -> Metric:
        family = CounterMetricFamily("fieldline_hub_admin_calls", "Admin calls that were let in.", labels=["method"])
        for method, count in self._hub.admin_calls.items():
            family.add_metric([method], count)
        return family
