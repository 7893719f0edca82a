"""What is normal: distances, missing channels, and what is learned from more rows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldline_cloud.detectors.normal import Normal

Rows = NDArray[np.float64]


def rows(count: int, *, seed: int = 3) -> Rows:
    """Two channels that go together, and one that goes alone."""
    dice = np.random.default_rng(seed)
    common = dice.normal(size=count)
    own = dice.normal(size=(count, 3))
    return np.asarray(np.column_stack((common + 0.2 * own[:, 0], common + 0.2 * own[:, 1], 5.0 * own[:, 2])))


def learned(ridge: float = 0.01) -> Normal:
    return Normal.of(rows(2_000), ridge=ridge, quantile=0.99)


def test_one_row_in_a_hundred_is_further_than_one() -> None:
    assert np.mean(learned().distances(rows(20_000, seed=4)) > 1.0) == pytest.approx(0.01, abs=0.004)


def test_deviations_are_those_of_a_regression_on_the_other_channels() -> None:
    normal, sample = learned(ridge=1e-9), rows(2_000)
    off = sample - sample.mean(axis=0)
    others = off[:, 1:]
    left = off[:, 0] - others @ np.linalg.lstsq(others, off[:, 0], rcond=None)[0]

    deviations = normal.deviations(sample)[:, 0]

    np.testing.assert_allclose(deviations, left / left.std(), rtol=1e-3, atol=1e-3)


def test_a_missing_channel_leaves_the_distance_the_others_have() -> None:
    without = Normal.of(rows(2_000)[:, 1:], ridge=0.01, quantile=0.99)
    sample = rows(50, seed=5)
    sample[:, 0] = np.nan

    deviations = learned().deviations(sample)

    assert np.isnan(deviations[:, 0]).all()
    np.testing.assert_allclose(deviations[:, 1:], without.deviations(sample[:, 1:]), rtol=1e-9)


def test_a_row_without_any_channel_has_no_distance() -> None:
    assert np.isnan(learned().distances(np.full((2, 3), np.nan))).all()


def test_the_band_ends_where_the_distance_is_one() -> None:
    normal = learned()
    row = np.array([0.3, 0.2, 1.0])

    low, high = normal.expected(row, np.ones(3))

    for edge in (low, high):
        moved = row.copy()
        moved[1] = edge[1]
        assert abs(normal.deviations(moved[None, :])[0, 1]) / normal.reach == pytest.approx(1.0)


def test_it_follows_what_it_is_taught_and_the_bar_keeps_its_meaning() -> None:
    normal = learned()
    for seed in range(100):
        normal.absorb(2.0 * rows(200, seed=seed) + 3.0, quantile=0.99, memory_rows=5_000)

    np.testing.assert_allclose(normal.center, 3.0, atol=0.5)
    assert np.mean(normal.distances(2.0 * rows(20_000, seed=4) + 3.0) > 1.0) == pytest.approx(0.01, abs=0.006)


def test_nothing_is_learned_of_a_channel_that_was_not_there() -> None:
    normal = learned()
    center, covariance = normal.center.copy(), normal.covariance.copy()
    taught = rows(500) + 1.0
    taught[:, 2] = np.nan

    normal.absorb(taught, quantile=0.99, memory_rows=1_000)
    normal.absorb(np.full((10, 3), np.nan), quantile=0.99, memory_rows=1_000)

    assert normal.center[2] == center[2]
    assert normal.covariance[2].tolist() == covariance[2].tolist()
    assert normal.center[0] > center[0] + 0.1


def test_rows_too_few_for_their_channels_are_no_trouble() -> None:
    normal = Normal.of(np.random.default_rng(1).normal(size=(5, 20)), ridge=0.5, quantile=0.99)

    assert np.isfinite(normal.distances(np.ones((3, 20)))).all()
