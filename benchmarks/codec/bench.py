"""Bytes per reading and thousand readings per second, as rows for the benchmark runner."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.codec.peers import from_json_gzip, json_gzip, json_zstd, protobuf_rows_zstd
from benchmarks.codec.traces import GOALS, TRACES_DEFAULT, Trace, load
from fieldline.model import Reading
from fieldline.v1.readings_pb2 import ReadingBatch
from fieldline.wire.readings import ReadingEncoder, decode_readings

SIZES = (20, 100, 1_000, 10_000)
READINGS_MAX = (6_000, 20_000, 60_000, 60_000)  # measured per trace, by batch size
READINGS_MAX_QUICK = (3_000, 10_000, 20_000, 40_000)
TIMED = ("modbus_ms", "skab_valve1", "mqtt_mixed", "nab_machine_temp")
SPEED_GOAL_FROM = 1_000  # readings a batch


def run(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """Rows of measure, unit, ours, peers, goal (None where there is none) and met.

    FileNotFoundError, with the cure, where the traces are not at `data` or in the default place.
    """
    limits = READINGS_MAX_QUICK if quick else READINGS_MAX
    traces = [load(name, data or TRACES_DEFAULT, max(limits)) for name in GOALS]
    rows = [row for trace in traces for row in _sizes(trace, limits)]
    timed = [trace for trace in traces if trace.name in TIMED]
    return rows + [row for trace in timed for row in _speeds(trace, quick)]


def _sizes(trace: Trace, limits: Sequence[int]) -> list[dict[str, Any]]:
    rows = []
    for size, readings_max, goal in zip(SIZES, limits, GOALS[trace.name], strict=True):
        batches = trace.batches(size, readings_max)
        if len(batches[0]) < size:
            continue
        by_id, by_name = ReadingEncoder(), ReadingEncoder()
        options: dict[str, Any] = {"tag_ids": trace.tag_ids, "tag_table": 1}
        bodies = [by_id.encode(batch, **options) for batch in batches]
        _check_round_trip(trace, batches, bodies)
        peers = {
            "JSON + gzip": _each(batches, json_gzip),
            "JSON + zstd 3": _each(batches, json_zstd),
            "Protobuf rows, ids + zstd 3": _each(batches, lambda batch: protobuf_rows_zstd(batch, trace.tag_ids)),
        }
        ours = _each(bodies, _payload) / size
        named = sum(len(_payload(by_name.encode(batch))) for batch in batches) / len(batches) / size
        per_reading = {name: value / size for name, value in peers.items()}
        label = f"{trace.name}, {size:,} a batch"
        rows.append(_row(f"{label}, tag ids", "B/reading", ours, per_reading, goal, met=ours <= goal))
        rows.append(_row(f"{label}, names inside", "B/reading", named, per_reading, None, met=None))
    return rows


def _each(items: Sequence[Any], encode: Callable[[Any], bytes]) -> float:
    """Mean size of an encoded batch."""
    return sum(len(encode(item)) for item in items) / len(items)


def _payload(body: bytes) -> bytes:
    return ReadingBatch.FromString(body).payload


def _check_round_trip(trace: Trace, batches: list[list[Reading]], bodies: list[bytes]) -> None:
    for batch, body in zip(batches, bodies, strict=True):
        got = decode_readings(body, tag_names=trace.tag_names)
        if got != sorted(batch, key=lambda reading: trace.tag_ids[reading.tag]):
            raise AssertionError(f"a batch of {trace.name} did not come back as it was")


def _speeds(trace: Trace, quick: bool) -> list[dict[str, Any]]:
    rows = []
    for size in SIZES:
        batches = trace.batches(size, max(size, 2_000 if quick else 10_000))
        count = sum(map(len, batches))
        encoder = ReadingEncoder()
        options: dict[str, Any] = {"tag_ids": trace.tag_ids, "tag_table": 1}
        bodies = [encoder.encode(batch, **options) for batch in batches]
        texts = [json_gzip(batch) for batch in batches]
        names = trace.tag_names
        runs = 5 if quick else 7
        encode = _rate(count, runs, batches, partial(encoder.encode, **options))
        decode = _rate(count, runs, bodies, partial(decode_readings, tag_names=names))
        for verb, ours, theirs in (
            ("encode", encode, _rate(count, runs, batches, json_gzip)),
            ("decode", decode, _rate(count, runs, texts, from_json_gzip)),
        ):
            goal = theirs if size >= SPEED_GOAL_FROM else None
            met = None if goal is None else ours >= goal
            label = f"{verb} {trace.name}, {size:,} a batch"
            rows.append(_row(label, "k readings/s", ours, {"JSON + gzip": theirs}, goal, met=met))
    return rows


def _rate(count: int, runs: int, items: Sequence[Any], work: Callable[[Any], object]) -> float:
    """Thousand readings per second, the median of `runs`."""
    rates = []
    for _ in range(runs):
        start = time.perf_counter()
        for item in items:
            work(item)
        rates.append(count / (time.perf_counter() - start) / 1e3)
    return median(rates)


def _row(
    measure: str, unit: str, ours: float, peers: dict[str, float], goal: float | None, *, met: bool | None
) -> dict[str, Any]:
    rounded = {name: round(value, 2) for name, value in peers.items()}
    goal = None if goal is None else round(goal, 2)
    return {"measure": measure, "unit": unit, "ours": round(ours, 2), "peers": rounded, "goal": goal, "met": met}
