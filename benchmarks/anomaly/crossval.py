"""How far the per-tag detector's numbers were fitted to the files they were chosen on.

    python -m benchmarks.anomaly.crossval [--data DIR] [--tunings N]

Neighbours of the shipped tuning are drawn at random, and scored at the fixed threshold 1.0. Then: on one half of the
files the best neighbour is chosen, on the other it is judged, a hundred times over random halves, and once for each
category left out. The difference between the two is what choosing flatters. The mean over all neighbours, with nothing
chosen, is the figure to believe.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import numpy.typing as npt

from benchmarks.anomaly.corpus import DATA_DEFAULT, nab
from benchmarks.anomaly.detectors import surprise
from benchmarks.anomaly.scoring import STANDARD, Labelled, gain
from fieldline.detectors import Tuning

__all__ = ["main"]

_HALVES = 100
Gains = npt.NDArray[np.float64]  # by tuning and file


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA_DEFAULT)
    parser.add_argument("--tunings", type=int, default=40)
    options = parser.parse_args()
    corpus = nab(options.data)
    windows = np.array([len(series.windows) for series in corpus])
    tunings = [Tuning(), *_neighbours(options.tunings)]
    gains = np.array([[gain(series, surprise(series, each), STANDARD, 1.0) for series in corpus] for each in tunings])
    results = _results(gains, windows)
    print(f"as shipped {results[0]:.1f}; {len(tunings) - 1} neighbours: mean {mean(results[1:]):.1f}, ", end="")
    print(f"spread {pstdev(results[1:]):.1f}, {min(results[1:]):.1f} to {max(results[1:]):.1f}")
    chosen, judged, shipped = zip(*_halves(gains, windows), strict=True)
    print(f"random halves: chosen on one {mean(chosen):.1f}, judged on the other {mean(judged):.1f}")
    print(f"as shipped on the halves it is judged on: {mean(shipped):.1f}, spread {pstdev(shipped):.1f}")
    print(f"each category left out: {_categories(gains, windows, corpus):.1f}")


def _neighbours(count: int) -> list[Tuning]:
    choose = random.Random(1).choice
    return [
        Tuning(
            season_hours=choose((4.0, 8.0, 16.0)),
            level_rate=choose((0.001, 0.002, 0.004)),
            fast_rate=choose((0.2, 0.25, 0.3, 0.4)),
            slow_rate=choose((0.04, 0.06, 0.08, 0.1)),
            record_rank=choose((12, 15, 18, 21)),
            readings_a_rank=choose((160, 200, 250)),
        )
        for _ in range(count)
    ]


def _results(gains: Gains, windows: npt.NDArray[np.int64]) -> list[float]:
    return [float(result) for result in 100.0 * gains.sum(axis=1) / (2.0 * windows.sum())]


def _halves(gains: Gains, windows: npt.NDArray[np.int64]) -> list[tuple[float, float, float]]:
    """For each: the best result on one half, that tuning's on the other, and the shipped tuning's there."""
    source, files, found = random.Random(2), list(range(len(windows))), []
    for _ in range(_HALVES):
        source.shuffle(files)
        one, other = files[: len(files) // 2], files[len(files) // 2 :]
        here, there = _results(gains[:, one], windows[one]), _results(gains[:, other], windows[other])
        winner = int(np.argmax(here))
        found.append((here[winner], there[winner], there[0]))
    return found


def _categories(gains: Gains, windows: npt.NDArray[np.int64], corpus: Sequence[Labelled]) -> float:
    """Each category judged by the tuning that is best on all the others."""
    category = np.array([series.category for series in corpus])
    gained = 0.0
    for name in sorted(set(category)):
        out = category == name
        gained += gains[int(np.argmax(gains[:, ~out].sum(axis=1))), out].sum()
    return 100.0 * gained / (2.0 * float(windows.sum()))


if __name__ == "__main__":
    main()
