"""Does the hub's memory stay flat? Half load for minutes, beside two subscribers that never read.

One durable subscriber and one live one open their streams and take nothing: the first falls ever further behind in the
log, the second loses frames. A normal pair publishes and takes at half the rate measured before, every message checked.
The log is bounded, so that it is full early and old segments are dropped all the time. The hub's resident memory is
read every two seconds. Its growth is the Theil-Sen slope (the median of the slopes of all pairs, which a few odd
samples cannot move); the detection floor is what slope noise of this kind makes by itself in one of twenty runs. An
allocator grows and shrinks in steps of 20 MiB and more, so a run needs many minutes before its slope says anything: a
minute is only a rehearsal.
"""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from benchmarks.harness import Worker, hear, rss_mib, say
from benchmarks.hub.ours import MODULE, running_hub
from fieldline import Runtime

__all__ = ["Soak", "detection_floor", "slope", "soak"]

_MODULE = "benchmarks.hub.soak"
_TOPIC = "bench/soak"
_LOG_BYTES_MAX = 512 << 20
_SAMPLE_S = 2.0
_PAGE_MIB = 4 / 1024


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak found. `samples`: (seconds since the start, MiB of the hub)."""

    rate: float
    slope_mib_min: float
    floor_mib_min: float
    samples: list[tuple[float, float]]


def soak(rate: float, seconds: float, settle_s: float) -> Soak:
    """Memory of the hub at `rate` messages/s for so many seconds, the first `settle_s` left out of the slope."""
    with (
        running_hub(log_bytes_max=_LOG_BYTES_MAX) as (address, pid),
        Worker(_MODULE, "stall", address) as stalled,
        Worker(MODULE, "pace", address, _TOPIC, rate, seconds) as publisher,
        Worker(MODULE, "subscribe", address, _TOPIC, int(rate * seconds), 1, "soak") as subscriber,
    ):
        for worker in (stalled, publisher, subscriber):
            worker.hear()
        publisher.say(go=True)
        samples = _sample(pid, seconds)
        took = publisher.hear(seconds + 120)["seconds"]
        subscriber.hear(seconds + 120)
        stalled.say(go=True)
        assert stalled.hear()["open"] == 2, "the stalled subscribers were to be connected to the end"
    late = [one for one in samples if one[0] >= settle_s]
    return Soak(int(rate * seconds) / took, slope(late) * 60, detection_floor(late) * 60, samples)


def _sample(pid: int, seconds: float) -> list[tuple[float, float]]:
    """(seconds since the start, MiB)."""
    began, samples = time.monotonic(), []
    while (at := time.monotonic() - began) < seconds:
        samples.append((at, rss_mib(pid)))
        time.sleep(_SAMPLE_S)
    return samples


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Theil-Sen: the median of the slopes of all pairs."""
    return median(
        (size - earlier_size) / (at - earlier_at)
        for index, (at, size) in enumerate(samples)
        for earlier_at, earlier_size in samples[:index]
    )


def detection_floor(samples: Sequence[tuple[float, float]]) -> float:
    """Twice the standard error of the slope, for as many independent samples as the noise is worth.

    Neighbours are alike: n samples whose residuals correlate by r from one to the next tell as much as
    n (1 - r) / (1 + r) independent ones. At least one page over all the time.
    """
    times = [at for at, _ in samples]
    trend = slope(samples)
    rest = [size - trend * at for at, size in samples]
    noise = [one - fmean(rest) for one in rest]
    power = sum(one * one for one in noise)
    one_page = _PAGE_MIB / (times[-1] - times[0])
    if not power:
        return one_page
    alike = max(0.0, sum(one * other for one, other in pairwise(noise)) / power)
    independent = len(samples) * (1 - alike) / (1 + alike)
    spread = sum((at - fmean(times)) ** 2 for at in times)
    return max(one_page, 2 * math.sqrt(power / max(1.0, independent - 2) / spread))


async def stall(address: str) -> None:
    """Open a durable and a live subscription and take nothing; in the end say how many are still connected."""
    async with Runtime(address, name="stalled") as runtime:
        opened = [runtime.subscribe(_TOPIC, durable="stalled"), runtime.subscribe(_TOPIC)]
        for one in opened:
            one.open()
            await one.wait_open()
        say(ready=True)
        await asyncio.to_thread(hear)
        say(open=sum(one.connected for one in opened))


ROLES: dict[str, Callable[..., Any]] = {"stall": stall}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
