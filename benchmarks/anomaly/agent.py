"""What a reading costs in the agent: 1,000 series of 100 devices, from frames to alerts, with what is shipped.

Each device has ten tags, two of them efforts, and has learned for a day; the devices began at different times, so that
their lessons do not all fall into the same minute. Readings come as from a gateway: a frame of each device a second,
with ten readings of each tag or with one. CPU time of whole minutes, lessons and all: the cheapest moments would leave
out what is done once in a minute.
"""

import time
from collections.abc import Sequence

import numpy as np

from benchmarks.anomaly.rows import Rows
from benchmarks.harness import at_most, row
from fieldline.config import loads
from fieldline.model import Alert, DeviceId, Reading
from fieldline.wire.readings import Series, decode_series, encode_readings
from fieldline_cloud.agents.anomaly.learned.columns import series_of
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.watch import Watch

__all__ = ["agent"]

_S = 1_000_000_000
_T0_NS = 1_760_000_000 * _S
_TAGS = ("current", "load", *(f"tag-{number}" for number in range(2, 10)))
_DEVICES = 100
_STRETCH_S = 10
_LEARNED_STRETCHES = 8_640
_APART_STRETCHES = 10
"""From one device to the next, in what they have learned: a hundred of them share a thousand rows between lessons."""
_MINUTE_S = 60
_SETTINGS = "kind: anomaly\nrules: [{match: {tag: none}, stale: {}}]\n"
_GOAL_US = 0.5


class _Timed(Watch):
    """Keeps the CPU seconds of what is done in batches."""

    flush_s = 0.0

    def flush(self, now_ns: int) -> list[Alert]:
        began_s = time.process_time()
        try:
            return super().flush(now_ns)
        finally:
            self.flush_s += time.process_time() - began_s


def agent(quick: bool) -> Rows:
    """Rows of the learned layer behind the decoder, and of decoding itself beside it."""
    watch, clocks = _taught()
    often = _minutes(watch, clocks, 10, 2 if quick else 10)
    seldom = _minutes(watch, clocks, 1, 4 if quick else 20)
    assert watch.learned is not None
    what = "learned layer, 1,000 series in batches"
    return [
        at_most(what, "us/reading", often["layer"], _GOAL_US),
        at_most("of that: detectors and alarms", "us/reading", often["layer"] - often["take"], _GOAL_US),
        row("of that: gathering columns", "us/reading", often["take"], None, None, None),
        row("before it: decoding frames of 100 readings", "us/reading", often["decode"], None, None, None),
        row(f"{what}, one reading a second each", "us/reading", seldom["layer"], None, None, None),
        row("of that: gathering columns, one by one", "us/reading", seldom["take"], None, None, None),
        row("before it: decoding frames of 10 readings", "us/reading", seldom["decode"], None, None, None),
        row("series learned", "", float(watch.learned.series), None, None, None),
        row("rows of devices judged", "", float(watch.learn_stats.learned_rows_judged), None, None, None),
        row("alerts", "", float(watch.stats.alerts_raised), None, None, None),
    ]


def _taught() -> tuple[_Timed, list[int]]:
    """A watch over devices that have learned, and the time it is for each, in seconds: one learns, all are like it."""
    teacher, watch = Watch(_settings()), _Timed(_settings())
    random, one = np.random.default_rng(1), DeviceId("bench", "hall", "teacher")
    clocks: list[int] = []
    first = _LEARNED_STRETCHES - _DEVICES * _APART_STRETCHES
    for stretch in range(_LEARNED_STRETCHES):
        now_s = stretch * _STRETCH_S
        teacher.frame(one, series_of(_readings(random, now_s, _STRETCH_S, 4)), _T0_NS + now_s * _S)
        teacher.tick(_T0_NS + now_s * _S)
        if stretch >= first and stretch % _APART_STRETCHES == 0:
            teacher.flush(_T0_NS + now_s * _S)
            is_used = watch.adopt(_device(len(clocks)), teacher.snapshot(one))
            assert is_used
            clocks.append(now_s + _STRETCH_S)
    return watch, clocks


def _settings() -> AnomalySettings:
    return loads(_SETTINGS, AnomalySettings, name="bench")


def _device(number: int) -> DeviceId:
    return DeviceId("bench", "hall", f"device-{number}")


def _minutes(watch: _Timed, clocks: list[int], a_second: int, minutes: int) -> dict[str, float]:
    """Microseconds for a reading, of decoding, of the layer and of gathering in it; `clocks` move on."""
    random, watch.flush_s = np.random.default_rng(a_second), 0.0
    decode_s = layer_s = 0.0
    for second in range(minutes * _MINUTE_S):
        bodies = [encode_readings(_readings(random, now_s + second, 1, a_second)) for now_s in clocks]
        began_s = time.process_time()
        frames = [(_device(number), decode_series(body)) for number, body in enumerate(bodies)]
        decoded_s = time.process_time()
        _watch_second(watch, frames, _T0_NS + (max(clocks) + second) * _S)
        decode_s, layer_s = decode_s + decoded_s - began_s, layer_s + time.process_time() - decoded_s
    clocks[:] = [now_s + minutes * _MINUTE_S for now_s in clocks]
    us = 1e6 / (minutes * _MINUTE_S * _DEVICES * len(_TAGS) * a_second)
    return {"decode": decode_s * us, "layer": layer_s * us, "take": (layer_s - watch.flush_s) * us}


def _watch_second(watch: Watch, frames: Sequence[tuple[DeviceId, Sequence[Series]]], now_ns: int) -> None:
    for device, frame in frames:
        watch.frame(device, frame, now_ns)
    watch.tick(now_ns)


def _readings(random: np.random.Generator, now_s: int, lasts_s: int, count: int) -> list[Reading]:
    """`count` readings of each tag, sweep after sweep, of a machine whose load changes every twenty minutes."""
    load = (40.0, 60.0, 80.0)[now_s // 1_200 % 3]
    noise = random.normal(0.0, 1.0, (count, len(_TAGS)))
    values = (load * np.linspace(0.5, 1.5, len(_TAGS)) + noise).round(2).tolist()
    begin_ns, step_ns = _T0_NS + now_s * _S, lasts_s * _S // count
    return [
        Reading(tag, begin_ns + step * step_ns, value)
        for step, sweep in enumerate(values)
        for tag, value in zip(_TAGS, sweep, strict=True)
    ]
