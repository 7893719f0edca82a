"""Remaining life learned from machines of one type that ran to their failure. Needs scikit-learn: the extra `rul`.

Gradient boosting over trees learns min(life, cap) from features of the history; `folds` models each leave out a part of
the machines, and their mean is the estimate. The machines a model has not seen show how far it is off, near every
value it may give: the quantiles are that estimate plus quantiles of those errors, as in jackknife+ and CV+ (R. F.
Barber, E. J. Candes, A. Ramdas, R. J. Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49
(2021)), taken locally.

A model is not saved: the histories are what is worth keeping, learning takes seconds and gives the same model again,
and no file is loaded that could run code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fieldline.errors import FieldlineError
from fieldline_cloud.prognosis.features import Array, HealthIndex, base_features
from fieldline_cloud.prognosis.passage import QUANTILES

__all__ = ["CAP", "Life", "LifeModel", "ModelError", "check_installed"]

CAP: Final = 125.0
"""Steps: a machine with more life than this shows no wear yet, and its life is learned as this."""
EVERY: Final = 3
"""Neighbouring steps are alike: so many are learned by one."""
NEAR_SHARE: Final = 0.06
"""Share of the errors that count as near an estimate."""
NEAR_MIN: Final = 60
WINDOWS: Final = 200
"""Estimates around which quantiles are taken; in between they are interpolated."""
MACHINES_MIN: Final = 10
ROUNDS: Final = 150
"""Trees of one member."""
TREES: Final = {"learning_rate": 0.06, "max_leaf_nodes": 15, "min_samples_leaf": 20, "max_features": 0.3}


class ModelError(FieldlineError):
    """A model cannot be learned from these histories; the message says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Life:
    """What remains, in steps of the history. `mean` is that of min(life, cap); the quantiles are not capped."""

    mean: float
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class _Member:
    """One model of the ensemble, with the index it stands on."""

    index: HealthIndex
    trees: Any  # sklearn.ensemble.HistGradientBoostingRegressor

    def means(self, base: Array, rows: slice = slice(None)) -> Array:
        found: Array = self.trees.predict(self.index.features(base)[rows])
        return found


class LifeModel:
    """Learned by `fit`; `life` estimates what remains of a machine."""

    def __init__(self, members: Sequence[_Member], cap: float, errors: "_Errors", moving: NDArray[np.bool_]) -> None:
        self._members = members
        self._cap = cap
        self._errors = errors
        self._moving = moving  # channels that are not the same everywhere: the others say nothing

    @classmethod
    def fit(
        cls, histories: Sequence[Array], *, cap: float = CAP, folds: int = 5, rounds: int = ROUNDS, seed: int = 0
    ) -> Self:
        """Learn from `histories`: each (steps, channels) of one machine, the last step being its failure.

        NaN where a channel has no good value. The same histories give the same model. Raises ModelError for fewer than
        10 machines, machines with different channels, or if scikit-learn is not installed.
        """
        moving = _moving(histories)
        bases = [base_features(history[:, moving]) for history in histories]
        lives = [np.arange(len(history) - 1.0, -1.0, -1.0) for history in histories]
        order = np.random.default_rng(seed).permutation(len(histories))
        members: list[_Member] = []
        strange = _Strangers()
        for fold in range(folds):
            left_out = {int(machine) for machine in order[fold::folds]}
            seen = [machine for machine in range(len(histories)) if machine not in left_out]
            member = _learn([bases[i] for i in seen], [lives[i] for i in seen], cap, rounds, seed + fold)
            members.append(member)
            for machine in left_out:
                strange.add(_capped(member.means(bases[machine]), cap), lives[machine])
        return cls(members, cap, strange.errors(), moving)

    def life(self, history: Array, *, skipped: int = 0) -> Life:
        """What remains of the machine after the last step of its history so far.

        Of a long history the first 20 and the last 500 steps are enough: `skipped` are the steps between them that
        were left out. ModelError if the channels are others than those learned.
        """
        return Life(*self._lives(history, slice(-1, None), skipped)[0].tolist())

    def lives(self, history: Array) -> Array:
        """The same after every step: (steps, 4), the columns as in Life."""
        return self._lives(history, slice(None), 0)

    def _lives(self, history: Array, rows: slice, skipped: int) -> Array:
        channels = len(self._moving)
        if history.ndim != 2 or history.shape[1] != channels or not len(history):
            raise ModelError(
                f"history of shape {history.shape}: give (steps, {channels}), the channels that were learned"
            )
        base = base_features(history[:, self._moving], skipped=skipped)
        mean = _capped(np.mean([member.means(base, rows) for member in self._members], axis=0), self._cap)
        quantiles = np.maximum(mean[:, None] + self._errors.near(mean), 0.0)
        return np.column_stack([mean, np.maximum.accumulate(quantiles, axis=1)])


@dataclass(frozen=True, slots=True)
class _Errors:
    """Quantiles of life - estimate (estimates, quantiles) around estimates, which ascend."""

    at: Array
    quantiles: Array

    def near(self, estimates: Array) -> Array:
        """The quantiles at each estimate: (estimates, quantiles)."""
        return np.column_stack([np.interp(estimates, self.at, column) for column in self.quantiles.T])


class _Strangers:
    """Estimates for machines that a member has not seen, beside the truth; each machine weighs the same."""

    def __init__(self) -> None:
        self._estimates: list[Array] = []
        self._errors: list[Array] = []
        self._weights: list[Array] = []

    def add(self, estimates: Array, lives: Array) -> None:
        """Of one machine, step by step."""
        self._estimates.append(estimates[::EVERY])
        self._errors.append((lives - estimates)[::EVERY])
        self._weights.append(np.full(len(self._errors[-1]), 1.0 / len(lives)))

    def errors(self) -> _Errors:
        """Quantiles of the errors of those nearest to each estimate."""
        estimates = np.concatenate(self._estimates)
        order = np.argsort(estimates, kind="stable")
        columns = (estimates, np.concatenate(self._errors), np.concatenate(self._weights))
        estimates, errors, weights = (column[order] for column in columns)
        near = min(max(NEAR_MIN, round(NEAR_SHARE * len(errors))), len(errors))
        starts = np.unique(np.linspace(0, len(errors) - near, WINDOWS).astype(int))
        windows = [slice(start, start + near) for start in starts]
        return _Errors(
            np.array([estimates[window].mean() for window in windows]),
            np.array([_quantiles(errors[window], weights[window]) for window in windows]),
        )


def _quantiles(values: Array, weights: Array) -> Array:
    order = np.argsort(values, kind="stable")
    share = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return np.interp(QUANTILES, share, values[order])


def _moving(histories: Sequence[Array]) -> NDArray[np.bool_]:
    """Which channels change at all."""
    if len(histories) < MACHINES_MIN:
        raise ModelError(f"{len(histories)} histories: at least {MACHINES_MIN} machines that ran to failure are needed")
    shapes = {history.shape[1:] for history in histories}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ModelError(f"histories of shapes (steps, ...) with {sorted(shapes)}: all need the same channels")
    everything = np.concatenate(histories)
    good = np.isfinite(everything)
    low = np.min(everything, axis=0, where=good, initial=np.inf)
    high = np.max(everything, axis=0, where=good, initial=-np.inf)  # below `low` where there is no value at all
    moving: NDArray[np.bool_] = (low < high) & (high - low > 1e-9 * np.maximum(np.abs(low), np.abs(high)))
    if not moving.any():
        raise ModelError("no channel of the histories ever changes: they say nothing about wear")
    return moving


def check_installed() -> None:
    """ModelError with the cure if scikit-learn is not installed."""
    try:
        import sklearn.ensemble  # noqa: F401  # only whether it is there
    except ModuleNotFoundError as error:
        raise ModelError("scikit-learn is not installed; run: pip install 'fieldline[rul]'") from error


def _learn(bases: Sequence[Array], lives: Sequence[Array], cap: float, rounds: int, seed: int) -> _Member:
    check_installed()
    from sklearn.ensemble import HistGradientBoostingRegressor

    life = np.concatenate(lives)
    index = HealthIndex().fit(np.concatenate(bases)[life < cap], life[life < cap])
    rows = np.concatenate([index.features(base)[::EVERY] for base in bases])
    wanted = np.minimum(np.concatenate([each[::EVERY] for each in lives]), cap)
    return _Member(index, HistGradientBoostingRegressor(**TREES, max_iter=rounds, random_state=seed).fit(rows, wanted))


def _capped(estimates: Array, cap: float) -> Array:
    return np.clip(estimates, 0.0, cap)
