"""NASA C-MAPSS FD001: engines that ran to failure, cross-validated by engine; and its test part, where it is there."""

import gzip
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import at_most, row
from benchmarks.rul.scores import LEVELS, Array, coverage, phm_score, rmse
from fieldline_cloud.prognosis.learned import CAP, LifeModel

__all__ = ["rows"]

FOLDS: Final = 5
CUTS_PER_ENGINE: Final = 20
CUT_STEP_MIN: Final = 20
"""No cut is earlier: the shortest engines of the test part have run a little longer."""
SEED: Final = 7
RMSE_GOAL: Final = 11.7
COVERAGE_GOAL: Final = 0.03


def rows(*, quick: bool, data: Path) -> list[dict[str, Any]]:
    """Of cross-validation, and of the test part if `data` has it."""
    engines = _engines(data, "train_FD001.txt")
    found = _cross_validated(engines[::2] if quick else engines, "half the engines, " if quick else "")
    try:
        truncated, lives = _engines(data, "test_FD001.txt"), _table(data, "RUL_FD001.txt")[:, 0]
    except FileNotFoundError:
        return found  # the part that is kept back
    model = LifeModel.fit(engines)
    estimates = np.array([model.lives(engine)[-1] for engine in truncated])
    return found + _judged("FD001 test part", estimates, lives, judged_coverage=False)


def _cross_validated(engines: list[Array], which: str) -> list[dict[str, Any]]:
    order = np.random.default_rng(SEED).permutation(len(engines))
    chance = np.random.default_rng(SEED)
    estimates, truths = [], []
    for fold in range(FOLDS):
        left_out = order[fold::FOLDS]
        model = LifeModel.fit([engines[i] for i in order if i not in left_out])
        for i in left_out:
            cuts = chance.integers(CUT_STEP_MIN - 1, len(engines[i]) - 1, CUTS_PER_ENGINE)
            estimates.append(model.lives(engines[i])[cuts])
            truths.append(len(engines[i]) - 1.0 - cuts)
    what = f"FD001, {which}cross-validated by engine"
    return _judged(what, np.concatenate(estimates), np.concatenate(truths), judged_coverage=True)


def _judged(what: str, estimates: Array, truths: Array, *, judged_coverage: bool) -> list[dict[str, Any]]:
    """`estimates` (n, 4) as LifeModel gives them; `truths` in cycles, not capped."""
    mean, capped = estimates[:, 0], np.minimum(truths, CAP)
    found = [
        at_most(f"{what}: RMSE, capped at {CAP:g}", "cycles", rmse(mean, capped), RMSE_GOAL),
        row(f"{what}: RMSE, not capped", "cycles", rmse(mean, truths), None, None, None),
        row(f"{what}: PHM08 score for 100 engines", "", phm_score(mean, capped) * 100 / len(mean), None, None, None),
    ]
    for level, share in zip(LEVELS, coverage(estimates[:, 1:], truths), strict=True):
        goal = f"{level - COVERAGE_GOAL:.2f} to {level + COVERAGE_GOAL:.2f}" if judged_coverage else None
        measure = f"{what}: share of lives below p{level * 100:.0f}"
        found.append(row(measure, "", share, None, goal, abs(share - level) <= COVERAGE_GOAL))
    width = float(np.median(estimates[:, 3] - estimates[:, 1]))
    found.append(row(f"{what}: p90 - p10, median", "cycles", width, None, None, None))
    return found


def _engines(data: Path, name: str) -> list[Array]:
    """(cycles, 24 channels) of each engine: three operating settings and 21 sensors."""
    table = _table(data, name)
    return [table[table[:, 0] == unit, 2:] for unit in np.unique(table[:, 0])]


def _table(data: Path, name: str) -> Array:
    for path in (data / name, data / f"{name}.gz"):
        if path.is_file():
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
                return np.loadtxt(file, ndmin=2)
    raise FileNotFoundError(f"{data / name} is not there: put C-MAPSS FD001 there, or say where it is with --data")
