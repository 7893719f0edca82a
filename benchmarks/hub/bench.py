"""Rows of the hub bench: throughput, fan-out, replay, latency, streams, memory; ours and the peers in turn."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Goal, more_is_better
from benchmarks.harness import at_least, at_most, row
from benchmarks.hub import ours
from benchmarks.hub.peers import autogen, mosquitto, nats, rest
from benchmarks.hub.soak import soak
from benchmarks.hub.streams import held

_ASYNC, _CORE, _MOSQUITTO, _REST, _AUTOGEN = (
    "JetStream publish_async",
    "NATS core",
    "Mosquitto QoS 1",
    "REST",
    "AutoGen",
)
_ARTICLE = 3_500  # messages/s that the article this project set out from claims for its gRPC hub
_STREAMS = 5_000
# What minutes of watching a process can tell at all: beside a known leak of 16 KiB/min an allocator's slack showed
# nothing, one of 64 KiB/min was seen as 53 to 72.
_ALLOCATOR_MIB_MIN = 64 / 1024

Rows = list[dict[str, Any]]


def run(*, quick: bool, data: Path | None, only: Sequence[str] = ()) -> Rows:
    """Medians of the runs; `only` some groups of rows, all if empty; `data` is not needed here."""
    return [row for name, group in GROUPS.items() if not only or name in only for row in group(quick)]


def _path(quick: bool) -> Rows:
    runs, scale = _length(quick)
    contest = Contest.of(
        runs,
        lambda: ours.path(250_000 * scale),
        {
            _ASYNC: lambda: nats.jetstream_publish(25_000 * scale),
            _CORE: lambda: nats.core_path(100_000 * scale),
            _MOSQUITTO: lambda: mosquitto.path(10_000 * scale),
            _REST: lambda: rest.path(1_500 * scale),
            _AUTOGEN: lambda: autogen.path(5_000 * scale),
        },
    )
    return [
        more_is_better(
            "200 B, durable: publish -> ack, one publisher",
            "messages/s",
            contest,
            "stored",
            Goal(_ASYNC, "stored", 3),
            Goal(_MOSQUITTO, "acknowledged"),
            Goal(_REST, "answered"),
        ),
        more_is_better(
            "200 B, durable: publish -> delivered",
            "messages/s",
            contest,
            "delivered",
            Goal(_CORE, "delivered", 1.5),
            Goal(_MOSQUITTO, "delivered", 20),
            Goal(_REST, "delivered", 100),
            Goal(_AUTOGEN, "delivered"),
            at_least=50 * _ARTICLE,
            at_least_text=f" (50 x the article's {_ARTICLE:,})",
        ),
        at_most("hub CPU for each of these messages", "us", contest.middle("hub_us"), None),
    ]


def _fan_out(quick: bool) -> Rows:
    runs, scale = _length(quick)
    return [
        at_least(
            f"fan-out 1 -> {subscribers}, durable",
            "deliveries/s",
            Contest.of(runs, lambda n=subscribers, m=messages: ours.fan_out(m, n)).middle("deliveries"),  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
            1_000_000,
        )
        for subscribers, messages in ((10, 50_000 * scale), (100, 5_000 * scale))
    ]


def _replay(quick: bool) -> Rows:
    runs, scale = _length(quick)
    replayed = Contest.of(runs, lambda: ours.replay(250_000 * scale)).middle("replayed")
    return [at_least("replay from disk, one durable", "messages/s", replayed, 300_000)]


def _latency(quick: bool) -> Rows:
    seconds = 5.0 if quick else 20.0
    # The 99th percentile of a few seconds is a handful of messages: one run alone would show the disk's worst moment.
    runs = max(3, _length(quick)[0])
    one = Contest.of(
        runs, lambda: ours.latency(seconds, 100, "one"), {_AUTOGEN: lambda: autogen.latency(seconds, 100, "one")}
    )
    every = Contest.of(
        runs,
        lambda: ours.latency(seconds / 2, 10, "all"),
        {_AUTOGEN: lambda: autogen.latency(seconds / 2, 10, "all")},
    )
    label = "100 agents, 100 messages/s in all, each to one, durable"
    return [
        _beside(f"{label}: p50", one, "p50", 1.5),
        _beside(f"{label}: p99", one, "p99", 5),
        _beside("one message to 100 agents, durable: p99", every, "p99", 8),
    ]


def _beside(label: str, contest: Contest, measure: str, goal_ms: float) -> dict[str, Any]:
    """A row of latencies; AutoGen, which stores nothing, is shown beside ours where it could take part."""
    here = contest.present(Goal(_AUTOGEN, measure))
    peers = {one.peer: contest.middle(measure, one.peer) for one in here}
    made = at_most(label, "ms", contest.middle(measure), goal_ms, peers)
    return made | {
        "ratios": {one.peer: round(contest.ratio(measure, one), 2) for one in here},
        "absent": contest.absent,
    }


def _streams(quick: bool) -> Rows:
    contest = Contest.of(1 if quick else 5, lambda: held(_STREAMS, 5 if quick else 20))
    label = f"{_STREAMS:,} subscriber streams held"
    return [
        at_least(f"{label}, each receiving every message", "streams", min(contest.values("streams")), _STREAMS),
        at_most(f"{label}: hub RSS", "MiB", max(contest.values("hub_rss_mib")), 1024),
        at_most(
            f"{label}, one message a second to all: hub CPU", "% of a core", contest.middle("hub_cpu_percent"), None
        ),
        at_most(f"{label}: until the last of them had it, at worst", "ms", contest.middle("last_ms"), None),
    ]


def _soak(quick: bool) -> Rows:
    full = Contest.of(3, lambda: ours.path(250_000)).middle("delivered")
    seconds, settle_s = (60.0, 20.0) if quick else (600.0, 60.0)
    found = soak(full / 2, seconds, settle_s)
    label = f"{seconds / 60:g} min at {found.rate:,.0f}/s beside two stalled subscribers: hub RSS"
    growth, floor = found.slope_mib_min, max(found.floor_mib_min, _ALLOCATOR_MIB_MIN)
    # A minute is too short to tell a step of the allocator from a leak: quick, the slope is shown and not judged.
    flat = row(
        f"{label}, slope", "MiB/min", growth, None, f"<= {floor:.3g} (noise)", None if quick else growth <= floor
    )
    after = [size for at, size in found.samples if at >= 2 * settle_s]
    return [
        flat | {"samples": [(round(at), round(size, 1)) for at, size in found.samples]},
        at_most(f"{label}, twice the error of that slope", "MiB/min", found.floor_mib_min, None),
        at_most(f"{label}, most", "MiB", max(size for _, size in found.samples), None),
        at_most(f"{label}, end against minute 2", "ratio", after[-1] / after[0], None if quick else 1.05),
    ]


def _length(quick: bool) -> tuple[int, int]:
    """Repetitions, and how many times longer than a quick one each is."""
    return (1, 1) if quick else (5, 4)


GROUPS: Mapping[str, Callable[[bool], Rows]] = {
    "path": _path,
    "fan-out": _fan_out,
    "replay": _replay,
    "latency": _latency,
    "streams": _streams,
    "soak": _soak,
}
