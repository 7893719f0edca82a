"""What a reading costs in the agent: 1,000 series of 100 devices, from frames to alerts, with what is shipped.

CPU time, the best of many cycles, because the machine may be shared. A round is what comes in a second: a frame of each
device with ten readings of each of its ten tags. A cycle is the ten rounds of a stretch: nine only add to its means,
with the tenth all detectors get theirs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.anomaly.rows import Rows
from benchmarks.harness import at_most, row
from fieldline.config import loads
from fieldline.model import DeviceId, Reading
from fieldline.wire.readings import Series, decode_series, encode_readings
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.watch import Watch

__all__ = ["agent"]

_S = 1_000_000_000
_T0_NS = 1_760_000_000 * _S
_DEVICES, _TAGS, _READINGS = 100, 10, 10
_ROUND = _DEVICES * _TAGS * _READINGS
_CYCLE = 10
_SETTINGS = "kind: anomaly\nrules: [{match: {tag: none}, stale: {}}]\n"
_GOAL_US = 0.5


@dataclass(slots=True)
class _Spent:
    """CPU seconds of one round."""

    decode: float
    take: float
    score: float


def agent(quick: bool) -> Rows:
    """Rows of the learned layer behind the decoder, and of decoding itself beside it."""
    rounds = 120 if quick else 5_000  # 400 stretches, and the joint detector has learned as well
    watch = Watch(loads(_SETTINGS, AnomalySettings, name="bench"))
    spent = [_round(watch, number) for number in range(rounds)]
    late = spent[-rounds // 6 :]
    what = "learned layer, 1,000 series in batches"
    return [
        at_most(what, "us/reading", _us([each.take + each.score for each in late]), _GOAL_US),
        row("of that: gathering columns", "us/reading", _us([each.take for each in late]), None, None, None),
        row("before it: decoding frames", "us/reading", _us([each.decode for each in late]), None, None, None),
        row("series learned", "", float(watch.learned.series if watch.learned else 0), None, None, None),
        row("alerts", "", float(watch.stats.alerts_raised), None, None, None),
    ]


def _round(watch: Watch, number: int) -> _Spent:
    begin_ns = _T0_NS + number * _READINGS * _S // 10
    random = np.random.default_rng(number)
    frames = [(DeviceId("bench", "hall", f"device-{place}"), _frame(random, begin_ns)) for place in range(_DEVICES)]
    spent = _Spent(0.0, 0.0, 0.0)
    decoded: list[tuple[DeviceId, Sequence[Series]]] = []
    spent.decode = _cpu_s(lambda: decoded.extend((device, decode_series(body)) for device, body in frames))
    spent.take = _cpu_s(lambda: [watch.frame(device, frame, begin_ns) for device, frame in decoded])
    spent.score = _cpu_s(lambda: watch.flush(begin_ns))
    return spent


def _frame(random: np.random.Generator, begin_ns: int) -> bytes:
    values = random.normal(50.0, 1.0, (_READINGS, _TAGS)).round(2).tolist()
    return encode_readings(
        [
            Reading(f"tag-{tag}", begin_ns + step * _S // 10, value)
            for step, row in enumerate(values)
            for tag, value in enumerate(row)
        ]
    )


def _cpu_s(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def _us(rounds_s: Sequence[float]) -> float:
    """Microseconds for a reading in the best whole cycle."""
    cycles = [sum(rounds_s[start : start + _CYCLE]) for start in range(0, len(rounds_s) - _CYCLE + 1, _CYCLE)]
    return min(cycles) / (_CYCLE * _ROUND) * 1e6
