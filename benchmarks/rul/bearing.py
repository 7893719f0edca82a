"""IMS bearing test 2: a real bearing from new to failure, judged reading by reading.

The limit is 2.5 times the median of the first day, the change that ISO 10816 calls significant put upon a machine's own
level; the failure is the first hour whose median is over it.
"""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.harness import row
from fieldline_cloud.prognosis.degradation import Degradation

__all__ = ["rows"]

HOUR_NS: Final = 3_600 * 10**9
PER_HOUR: Final = 6
TIMES_HEALTHY: Final = 2.5
FIRST_DAY: Final = slice(PER_HOUR, 25 * PER_HOUR)
FAILED: Final = 0
"""The bearing that failed, by its column."""


def rows(*, data: Path) -> list[dict[str, Any]]:
    """Lead time and errors for the bearing that failed, and whether the others were left in peace while it was new."""
    times, bearings = _read(data / "ims_bearing_test2_mean_abs.csv.gz")
    failing = bearings[:, FAILED]
    limit = TIMES_HEALTHY * float(np.median(failing[FIRST_DAY]))
    end = next(i for i in range(len(failing)) if median(failing[i : i + PER_HOUR]) >= limit)
    said = []
    degradation = Degradation(limit)
    for i in range(end):
        closed = degradation.update(times[i : i + 1], failing[i : i + 1])
        if closed and (prognosis := degradation.remaining(int(times[i]))) is not None:
            said.append(((times[end] - times[i]) / HOUR_NS, prognosis))
    inside = [prognosis.p10_h <= life_h <= prognosis.p90_h for life_h, prognosis in said]
    found = [
        row("IMS bearing 1: first prognosis before the limit", "h", said[0][0], None, None, None),
        row("IMS bearing 1: lives within p10 to p90", "", float(np.mean(inside)), None, None, None),
    ]
    for from_h, to_h in ((72, 48), (48, 24), (24, 0)):
        errors = [abs(prognosis.p50_h - life_h) for life_h, prognosis in said if to_h <= life_h < from_h]
        what = f"IMS bearing 1: error of p50, {from_h} to {to_h} h before, median"
        found.append(row(what, "h", float(np.median(errors)) if errors else np.nan, None, None, None))
    return [*found, _false_ones(times, bearings)]


def _false_ones(times: Any, bearings: Any) -> dict[str, Any]:
    """Prognoses in the first three days, in which all four bearings were well."""
    false = 0
    for column in bearings.T:
        degradation = Degradation(TIMES_HEALTHY * float(np.median(column[FIRST_DAY])))
        for i in range(3 * 24 * PER_HOUR):
            closed = degradation.update(times[i : i + 1], column[i : i + 1])
            false += closed and degradation.remaining(int(times[i])) is not None
    return row("IMS, 4 bearings: prognoses in the first 3 days", "", false, None, "0", false == 0)


def _read(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: put it there, or say where it is with --data")
    with gzip.open(path, "rt") as file:
        lines = [line.strip().split(",") for line in file][1:]
    moments = [datetime.strptime(line[0], "%Y.%m.%d.%H.%M.%S").replace(tzinfo=UTC) for line in lines]
    times = np.array([round(moment.timestamp()) * 10**9 for moment in moments], dtype=np.int64)
    return times, np.array([[float(value) for value in line[1:]] for line in lines])
