"""What a reading costs: CPU time, the best of many short runs, because the machine may be shared."""

import random
import subprocess
import time
from collections.abc import Callable

import numpy as np

from benchmarks.anomaly.rows import Rows
from benchmarks.contest import Absent, Contest
from benchmarks.environment import python_of
from benchmarks.harness import at_most, row
from fieldline.detectors import Surprise
from fieldline_cloud.detectors import SurpriseBank

__all__ = ["cost"]

_STEP_NS = 300 * 1_000_000_000
_SERIES, _BATCHES = 1_000, 200  # in so many batches every series ages once
_ONE_BY_ONE, _BATCH = "one by one, plain Python", f"{_SERIES:,} series, a reading of each a batch"
_RIVER = "river HalfSpaceTrees"


def cost(quick: bool) -> Rows:
    """Rows of the plain class, beside river's trees where they can be installed, and of the bank."""
    runs, readings = 50 if quick else 200, 1_000
    contest = Contest.of(
        1 if quick else 3, lambda: {"us": _plain(readings, runs)}, {_RIVER: lambda: {"us": _river(readings, runs)}}
    )
    ours = contest.middle("us")
    peers = {} if _RIVER in contest.absent else {_RIVER: contest.middle("us", _RIVER)}
    made = row(_ONE_BY_ONE, "us/reading", ours, peers, "<= 3", ours <= 3.0)
    return [
        made | {"absent": contest.absent},
        at_most(_BATCH, "us/reading", _bank(runs // 5), 0.5),
    ]


def _plain(readings: int, runs: int) -> float:
    source = random.Random(1)
    values = [source.gauss(50.0, 1.0) for _ in range((runs + 1) * readings)]
    detector = Surprise()

    def work(run: int) -> None:
        for number in range(run * readings, (run + 1) * readings):
            detector.step(number * _STEP_NS, values[number])

    return _best_us(work, runs) / readings


def _bank(runs: int) -> float:
    values = np.random.default_rng(1).normal(50.0, 1.0, (10 * _BATCHES, _SERIES))
    bank = SurpriseBank(_SERIES)
    rows, moment = np.array([bank.add() for _ in range(_SERIES)]), np.ones(_SERIES, np.int64)

    def work(run: int) -> None:
        for number in range(run * _BATCHES, (run + 1) * _BATCHES):
            bank.update(rows, moment * (number * _STEP_NS), values[number % len(values)])

    return _best_us(work, runs) / _BATCHES / _SERIES


def _best_us(work: Callable[[int], None], runs: int) -> float:
    """The least CPU time of a run; the first, in which records are still set all the time, is not counted."""
    work(0)
    times_us = []
    for run in range(1, runs + 1):
        began = time.process_time()
        work(run)
        times_us.append((time.process_time() - began) * 1e6)
    return min(times_us)


def _river(readings: int, runs: int) -> float:
    python = python_of("river", "0.26.1", "river==0.26.1")
    command = [str(python), "-m", "benchmarks.anomaly.river_worker", str(readings), str(runs // 10)]
    try:
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    except subprocess.SubprocessError as error:
        raise Absent(f"could not be run: {error}") from error
