"""A subscriber is stopped for seconds while much is published: the others do not notice, and it misses nothing."""

import asyncio
import json
import signal
import time
from pathlib import Path

from fieldline import Coalescing, Runtime
from tests.faults.support import LONG, Devices, Edge, Process, fieldline, hub_metrics, new_random, running_hub, until

STOPPED_S = 10.0 if LONG else 4.0
CONTENT_BYTES = 4096
BURST = 5_000  # of these: 20 MB, more than any buffer on the way


def _subscriber(folder: Path, name: str, hub: str) -> Process:
    words = ("sub", "burst/#", "readings/#", "--json", "--durable", name, "--from", "start", "--hub", hub)
    return fieldline(folder / f"{name}.jsonl", *words, "--name", name)


async def _burst(runtime: Runtime, fast: "Reader", first: int) -> float:
    """Publish a burst; seconds until the fast subscriber has all of it."""
    filling = "x" * CONTENT_BYTES
    began_s = time.monotonic()
    await runtime.publish_batch("burst/test", (f"{number} {filling}" for number in range(first, first + BURST)))
    await fast.until(first + BURST)
    return time.monotonic() - began_s


class Reader:
    """A subscriber in the test's own process that is never stopped."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._changed = asyncio.Event()
        self.burst: list[int] = []
        self.readings_latency_s: list[float] = []

    async def run(self) -> None:
        async with self._runtime.subscribe(["burst/#", "readings/#"], durable="fast") as subscription:
            async for delivery in subscription.deliveries():
                if delivery.is_readings:
                    now_ns = time.time_ns()
                    self.readings_latency_s += [(now_ns - each.at_ns) / 1e9 for each in delivery.readings()]
                else:
                    self.burst += [_number(message.content.decode()) for message in delivery.messages()]
                self._changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.burst) < count:
                self._changed.clear()
                await self._changed.wait()


def _number(text: str) -> int:
    return int(text.partition(" ")[0])


async def test_a_subscriber_that_is_stopped_holds_up_nobody_and_misses_nothing(tmp_path: Path) -> None:
    new_random()
    async with (
        Devices(3) as devices,
        running_hub(tmp_path / "hub") as hub,
        Edge(tmp_path, hub.address, devices.settings(period_ms=50)) as edge,
        _subscriber(tmp_path, "slow", hub.address) as slow,
        Runtime(hub.address, name="fast") as reading,
        Runtime(hub.address, name="source", coalescing=Coalescing(compress_from_bytes=None)) as runtime,
    ):
        fast = Reader(reading)
        work = asyncio.create_task(fast.run())
        await slow.until_said('"tag"')
        free_s = await _burst(runtime, fast, 0)
        await until(lambda: _rows(slow)[0] == list(range(BURST)), "the subscriber has the first burst")
        slow.signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        before, fast.readings_latency_s = len(fast.readings_latency_s), []
        held_s = await _burst(runtime, fast, BURST)
        await asyncio.sleep(max(0.0, stopped_s + STOPPED_S - time.monotonic()))
        latencies = sorted(fast.readings_latency_s)
        behind = (await asyncio.to_thread(hub_metrics, hub))["subscribers_behind"]
        slow.signal(signal.SIGCONT)
        assert await edge.stop() == 0
        polled = (await edge.status())["readings_polled"]
        await until(lambda: _has_all(slow, polled), "the slow subscriber catches up")
        work.cancel()
        await asyncio.wait([work])
    burst, counts = _rows(slow)
    print(f"burst of {BURST}: {free_s:.2f} s before, {held_s:.2f} s beside a stopped subscriber; {before} readings")
    print(f"readings beside a stopped subscriber: p50 {latencies[len(latencies) // 2] * 1000:.0f} ms")
    assert behind >= 1, "the stopped subscriber was never held up: the burst is too small for this test"
    assert held_s < 2 * free_s + 1
    assert len(latencies) >= 0.8 * 3 * STOPPED_S * 1000 / 50
    assert latencies[len(latencies) // 2] < 0.5
    assert fast.burst == burst == list(range(2 * BURST))
    for unit in devices.units:
        assert counts[f"counter-{unit}"] == list(range(1, devices.answered(unit) + 1))


def _has_all(slow: Process, polled: int) -> bool:
    burst, counts = _rows(slow)
    return len(burst) == 2 * BURST and sum(map(len, counts.values())) == polled


def _rows(process: Process) -> tuple[list[int], dict[str, list[int]]]:
    """What `fieldline sub` has printed: numbers of the burst, and counts of each device, in order."""
    burst: list[int] = []
    counts: dict[str, list[int]] = {}
    for line in process.said.splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # still being written
        row = json.loads(line)
        if "tag" in row:
            counts.setdefault(row["device"], []).append(row["value"])
        else:
            burst.append(_number(row["text"]))
    return burst, counts
