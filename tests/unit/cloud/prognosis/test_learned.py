"""A fleet that wears in a known way, so that the truth is known."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldline_cloud.prognosis.learned import LifeModel, ModelError

History = NDArray[np.float64]
CAP = 60.0


def machine(seed: int) -> History:
    """Its wear begins somewhere and then takes 60 steps, give or take ten; two channels show it, one never moves."""
    chance = np.random.default_rng(seed)
    onset, pace = int(chance.integers(20, 60)), chance.uniform(0.85, 1.15)
    steps = onset + round(60 / pace)
    wear = np.maximum(np.arange(steps) - onset, 0.0) * pace / 60
    noise = chance.normal(0.0, 0.05, (steps, 2))
    own = chance.normal(0.0, 1.0, 2)
    return np.column_stack([own[0] + wear + noise[:, 0], own[1] - wear**2 + noise[:, 1], np.full(steps, 100.0)])


FLEET = [machine(seed) for seed in range(16)]
STRANGERS = [machine(seed) for seed in range(100, 112)]


@pytest.fixture(scope="module")
def model() -> LifeModel:
    return LifeModel.fit(FLEET, cap=CAP, folds=3, rounds=40)


def test_the_life_of_a_stranger_is_foretold(model: LifeModel) -> None:
    errors, inside = [], []
    for history in STRANGERS:
        for left in (10, 25, 40):
            life = model.life(history[: len(history) - left])
            errors.append(abs(life.mean - left))
            inside.append(life.p10 <= left <= life.p90)

    assert np.mean(errors) < 6.0
    assert np.mean(inside) > 0.6


def test_what_a_history_says_does_not_depend_on_what_comes_after(model: LifeModel) -> None:
    history = STRANGERS[0]

    np.testing.assert_allclose(model.lives(history)[:50], model.lives(history[:50]), rtol=1e-9)


def test_quantiles_are_in_order_and_not_negative(model: LifeModel) -> None:
    lives = model.lives(STRANGERS[1])

    assert (np.diff(lives[:, 1:], axis=1) >= 0).all()
    assert (lives >= 0).all()
    assert (lives[:, 0] <= CAP).all()


def test_the_same_histories_give_the_same_model(model: LifeModel) -> None:
    again = LifeModel.fit(FLEET, cap=CAP, folds=3, rounds=40)

    assert again.life(STRANGERS[2]) == model.life(STRANGERS[2])


def test_missing_values_are_borne(model: LifeModel) -> None:
    history = STRANGERS[3].copy()
    history[::3, 0] = np.nan
    history[40:, 1] = np.nan

    assert np.isfinite(model.lives(history)).all()


@pytest.mark.parametrize(
    ("histories", "said"),
    [
        (FLEET[:3], "at least 10 machines"),
        ([*FLEET[:10], FLEET[0][:, :2]], "the same channels"),
        ([np.full((30, 2), np.nan)] * 10, "no channel of the histories ever changes"),
        ([np.ones((30, 2))] * 10, "no channel of the histories ever changes"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(histories: list[History], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        LifeModel.fit(histories)


def test_a_history_with_other_channels_is_refused(model: LifeModel) -> None:
    with pytest.raises(ModelError, match=r"give \(steps, 3\)"):
        model.life(np.ones((10, 2)))


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)

    with pytest.raises(ModelError, match="fieldline\\[rul\\]"):
        LifeModel.fit(FLEET)
