"""Our figures of the hub bench. Every message is fsynced by the hub before it is acknowledged and before delivery.

Every subscriber compares every message with the one whose turn it is, and frame numbers with their neighbours; a lost,
repeated or exchanged message ends the bench.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import Worker, cpu_seconds, peak_rss_mib

__all__ = ["MODULE", "fan_out", "latency", "path", "percentiles", "replay", "running_hub"]

MODULE = "benchmarks.hub.worker"


@contextmanager
def running_hub(*, log_bytes_max: int | None = None) -> Iterator[tuple[str, int]]:
    """(address, pid) of a fresh hub."""
    bounds = [] if log_bytes_max is None else [log_bytes_max]
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as data, Worker(MODULE, "hub", data, *bounds) as hub:
        yield f"127.0.0.1:{hub.hear()['port']}", hub.pid


def path(messages: int) -> dict[str, float]:
    """One publisher, one durable subscriber: messages stored and delivered per second, hub CPU per message."""
    with (
        running_hub() as (address, pid),
        Worker(MODULE, "publish", address, "bench/path", messages) as publisher,
        Worker(MODULE, "subscribe", address, "bench/path", messages, 1, "path") as subscriber,
    ):
        publisher.hear()
        subscriber.hear()
        used = cpu_seconds(pid)
        publisher.say(go=True)
        times, ended = publisher.hear(), subscriber.hear()["ended"]
        used = cpu_seconds(pid) - used
    return {
        "stored": messages / (times["stored"] - times["began"]),
        "delivered": messages / (ended - times["began"]),
        "hub_us": used / messages * 1e6,
    }


def fan_out(messages: int, subscribers: int) -> dict[str, float]:
    """One publisher, many subscribers in one process: deliveries per second in all."""
    with (
        running_hub() as (address, _),
        Worker(MODULE, "publish", address, "bench/fan", messages) as publisher,
        Worker(MODULE, "subscribe", address, "bench/fan", messages, subscribers, "fan") as subscriber,
    ):
        publisher.hear()
        subscriber.hear()
        publisher.say(go=True)
        began, ended = publisher.hear()["began"], subscriber.hear()["ended"]
    return {"deliveries": messages * subscribers / (ended - began)}


def replay(messages: int) -> dict[str, float]:
    """A new durable reads what was stored before it came."""
    with running_hub() as (address, _):
        with Worker(MODULE, "publish", address, "bench/replay", messages) as publisher:
            publisher.hear()
            publisher.say(go=True)
            publisher.hear()
        with Worker(MODULE, "replay", address, "bench/replay", messages) as reader:
            return {"replayed": messages / reader.hear()["seconds"]}


def latency(seconds: float, rate: float, pattern: str) -> dict[str, float]:
    """100 agents, publish to handler, durable."""
    with running_hub() as (address, pid):
        with Worker(MODULE, "agents", address, 100, seconds, rate, pattern) as agents:
            figures = percentiles(agents.hear()["latencies"])
        return figures | {"hub_rss_mib": peak_rss_mib(pid)}


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Of latencies in ms, and how many there were."""
    values = sorted(latencies)
    return {
        "p50": values[len(values) // 2],
        "p99": values[int(len(values) * 0.99)],
        "p99.9": values[int(len(values) * 0.999)],
        "received": len(values),
    }
