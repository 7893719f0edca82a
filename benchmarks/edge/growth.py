"""Does a gateway's memory stay flat? A hundred devices for ten minutes, the memory read every two seconds.

Growth is the Theil-Sen slope after the first minute; a run of this length cannot see less than some 64 KiB a minute,
and that is the bound. Leaks go with events, so the slope is also told for each reading.
"""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.edge.footprint import gateway, plant
from benchmarks.harness import Worker, at_most, rss_mib
from benchmarks.hub.soak import slope
from fieldline.observe import scrape

__all__ = ["rows"]

_DEVICES = 100
_WARM_UP_S = 60.0
_SAMPLE_S = 2.0
_SLOPE_KIB_MIN_MAX = 64
_END_TO_SECOND_MINUTE_MAX = 1.05


def rows(*, quick: bool) -> list[dict[str, Any]]:
    """Slope, and the end against the second minute; quick: a rehearsal of two minutes that proves nothing."""
    seconds = 120.0 if quick else 600.0
    samples, readings_s = _run(seconds)
    settled = [one for one in samples if one[0] >= _WARM_UP_S]
    kib_min = slope(settled) * 60 * 1024
    second = [size for at, size in samples if 60 <= at < 120]
    last = [size for at, size in samples if at >= seconds - 30]
    ratio = (sum(last) / len(last)) / (sum(second) / len(second))
    name = f"{_DEVICES} devices x 50 registers at 1 Hz for {seconds / 60:g} minutes"
    return [
        at_most(f"{name}: growth of RSS", "KiB/min", kib_min, _SLOPE_KIB_MIN_MAX),
        at_most(f"{name}: growth of RSS", "B/1000 readings", kib_min * 1024 / (readings_s * 60) * 1000, None),
        at_most(f"{name}: RSS at the end to that in minute 2", "ratio", ratio, _END_TO_SECOND_MINUTE_MAX),
        at_most(f"{name}: most RSS", "MiB", max(size for _, size in samples), None),
    ]


def _run(seconds: float) -> tuple[list[tuple[float, float]], float]:
    """((seconds since the start, MiB) again and again, readings/s at the hub)."""
    with tempfile.TemporaryDirectory(prefix="fieldline-edge-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        hub = stack.enter_context(Worker("benchmarks.hub.worker", "hub", home / "hub"))
        ports = stack.enter_context(plant(home, _DEVICES))
        pid, metrics = stack.enter_context(gateway(home, ports, hub.hear()["port"]))
        began, samples = time.monotonic(), []
        while (at := time.monotonic() - began) < seconds:
            samples.append((at, rss_mib(pid)))
            time.sleep(_SAMPLE_S)
        return samples, scrape(metrics)["fieldline_edge_readings_acknowledged_total"] / seconds
