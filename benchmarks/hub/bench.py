"""Rows of the hub bench: throughput, fan-out, replay, latency; ours and the peers in turn within one run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import at_least, at_most, medians, middle
from benchmarks.hub import ours
from benchmarks.hub.peers import nats

_OURS = "ours"
_ASYNC = "JetStream publish_async"


def run(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """Medians of the runs; `data` is not needed here."""
    runs, scale = (1, 1) if quick else (5, 4)
    return [*_throughput(runs, scale), *_fan_out(runs, scale), *_replay(runs, scale), *_latency(runs, quick)]


def _throughput(runs: int, scale: int) -> list[dict[str, Any]]:
    figures = _measure(
        runs,
        {
            _OURS: lambda: ours.path(250_000 * scale),
            "NATS core": lambda: nats.core_path(250_000 * scale),
            _ASYNC: lambda: nats.jetstream_publish(25_000 * scale),
        },
    )
    own = figures[_OURS]
    core, stream = figures["NATS core"]["delivered"], figures[_ASYNC]["stored"]
    path = "200 B, publisher -> hub (fsync) -> subscriber"
    return [
        at_least("200 B, publisher -> fsync -> ack", "messages/s", own["stored"], 3 * stream, {_ASYNC: stream}),
        at_least(path, "messages/s", own["delivered"], 100_000, {"NATS core": core}),
        at_most("hub CPU for each of these messages", "us", own["hub_us"], None),
    ]


def _fan_out(runs: int, scale: int) -> list[dict[str, Any]]:
    rows = []
    for subscribers, messages in ((10, 50_000 * scale), (100, 5_000 * scale)):
        figures = _measure(runs, {_OURS: lambda n=subscribers, m=messages: ours.fan_out(m, n)})  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
        rows.append(
            at_least(f"fan-out 1 -> {subscribers}, durable", "deliveries/s", figures[_OURS]["deliveries"], 1_000_000)
        )
    return rows


def _replay(runs: int, scale: int) -> list[dict[str, Any]]:
    figures = _measure(runs, {_OURS: lambda: ours.replay(250_000 * scale)})
    return [at_least("replay from disk, one durable", "messages/s", figures[_OURS]["replayed"], 300_000)]


def _latency(runs: int, quick: bool) -> list[dict[str, Any]]:
    seconds = 5.0 if quick else 20.0
    # The 99th percentile of a few seconds is a handful of messages: one run alone would show the disk's worst moment.
    runs = max(3, runs)
    one = _measure(runs, {_OURS: lambda: ours.latency(seconds, 100, "one")})[_OURS]
    every = _measure(runs, {_OURS: lambda: ours.latency(seconds / 2, 10, "all")})[_OURS]
    label = "100 agents, 100 messages/s in all, each to one, durable"
    return [
        at_most(f"{label}: p50", "ms", one["p50"], 2),
        at_most(f"{label}: p99", "ms", one["p99"], 10),
        at_most("one message to 100 agents, durable: p99", "ms", every["p99"], 8),
    ]


def _measure(runs: int, contenders: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {measure: middle(values) for measure, values in figures.items()}
        for name, figures in medians(runs, contenders)
    }
