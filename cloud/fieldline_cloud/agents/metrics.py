"""An agent's counters for Prometheus, read from its plain integers when somebody asks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["StatsCollector"]


class StatsCollector(Collector):
    """`fieldline_<agent>_<field>_total` for each field of `stats`, and a gauge for each of `gauges`.

    `by_operator` gauges have a value for each operator, under the label `operator`.
    """

    def __init__(
        self,
        agent: str,
        stats: "DataclassInstance",
        gauges: Mapping[str, Callable[[], int]] | None = None,
        by_operator: Mapping[str, Callable[[], Mapping[str, float]]] | None = None,
    ) -> None:
        self._prefix = f"fieldline_{agent}_"
        self._stats = stats
        self._gauges = gauges or {}
        self._by_operator = by_operator or {}

    def collect(self) -> Iterator[Metric]:
        """The values of this moment."""
        for name, value in asdict(self._stats).items():
            words = name.replace("_", " ")
            yield CounterMetricFamily(self._prefix + name, f"{words}, since the start", value=value)
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(self._prefix + name, f"{name.replace('_', ' ')}, now", value=read())
        for name, read_all in self._by_operator.items():
            family = GaugeMetricFamily(self._prefix + name, f"{name.replace('_', ' ')}, now", labels=["operator"])
            for operator, figure in read_all().items():
                family.add_metric([operator], figure)
            yield family
