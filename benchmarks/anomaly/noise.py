"""How often the per-tag detector cries wolf on a tag that nothing happens to, by threshold."""

from dataclasses import dataclass

import numpy as np

from benchmarks.anomaly.rows import Rows
from benchmarks.harness import row
from fieldline_cloud.detectors import SurpriseBank

__all__ = ["noise"]

_SERIES = 60
_THRESHOLDS = (1.0, 1.25, 1.5, 2.0)
_QUIET = 60  # readings after an alarm, as in Refractory
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class _Noise:
    """Gaussian noise of one spread; `memory` is how much of a reading the next one keeps."""

    step_s: int
    days: int
    memory: float

    def __str__(self) -> str:
        kind = "white noise" if self.memory == 0.0 else f"noise that keeps {self.memory:g}"
        return f"{kind}, a reading every {self.step_s} s, second half of {self.days} days"


_KINDS = (_Noise(300, 60, 0.0), _Noise(300, 60, 0.95), _Noise(60, 20, 0.0), _Noise(60, 20, 0.95), _Noise(5, 3, 0.95))


def noise(quick: bool) -> Rows:
    """Rows of alarms a tag and day, one alarm for one event; `quick`: of the first two kinds."""
    rows = []
    for kind in _KINDS[:2] if quick else _KINDS:
        for threshold, alarms in zip(_THRESHOLDS, _alarms(kind), strict=True):
            a_day = alarms / _SERIES / (kind.days / 2)
            rows.append(row(f"{kind}: alarms at {threshold:g}", "/tag-day", float(a_day), {}, None, None))
    return rows


def _alarms(kind: _Noise) -> list[int]:
    """By threshold, how many alarms there were in the second half."""
    generator, bank = np.random.default_rng(1), SurpriseBank(_SERIES)
    rows = np.array([bank.add() for _ in range(_SERIES)])
    thresholds = np.array(_THRESHOLDS)[:, None]
    left, alarms = np.zeros((len(_THRESHOLDS), _SERIES), int), np.zeros(len(_THRESHOLDS), int)
    value, fresh = np.zeros(_SERIES), np.sqrt(1.0 - kind.memory**2)
    steps = kind.days * _DAY_S // kind.step_s
    for step in range(steps):
        value = kind.memory * value + fresh * generator.normal(0.0, 1.0, _SERIES)
        scores = bank.update(rows, np.full(_SERIES, step * kind.step_s * 1_000_000_000), 50.0 + value)
        begins = (left == 0) & (scores >= thresholds)
        left = np.where(begins, _QUIET, np.maximum(left - 1, 0))
        if step >= steps // 2:
            alarms += begins.sum(axis=1)
    return [int(count) for count in alarms]
