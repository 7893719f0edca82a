"""What is run over the corpus: ours as shipped, and the windowed Gaussian that NAB brings as its plain baseline."""

import math

import numpy as np

from benchmarks.anomaly.scoring import Floats, Labelled
from fieldline.detectors import Refractory, Surprise, Tuning
from fieldline.detectors.tuning import DEFAULT

__all__ = ["surprise", "windowed_gaussian"]

_WINDOW, _STEP = 6_400, 100


def surprise(series: Labelled, tuning: Tuning = DEFAULT) -> Floats:
    """Reading by reading, one alarm for one event, the same numbers for every series."""
    detector, refractory = Surprise(tuning), Refractory()
    readings = zip(series.at_ns.tolist(), series.values.tolist(), strict=True)
    return np.array([refractory.step(detector.step(at_ns, value)) for at_ns, value in readings])


def windowed_gaussian(series: Labelled) -> Floats:
    """One less the tail of a normal distribution of the last 6,400 readings, a window that moves by 100 at a time."""
    values, scores = series.values, np.zeros(len(series.values))
    mean, spread = 0.0, 1.0
    for row, value in enumerate(values):
        if row:
            scores[row] = 1.0 - 0.5 * math.erfc(abs(value - mean) / spread / math.sqrt(2.0))
        beyond = row + 1 - _WINDOW
        if beyond <= 0 or beyond % _STEP == 0:
            held = values[max(0, beyond) : row + 1]
            mean, spread = float(held.mean()), float(held.std()) or 1e-6
    return scores
