import numpy as np
import pytest

from benchmarks.rul.scores import coverage, phm_score, rmse


def test_an_estimate_that_is_too_late_costs_more() -> None:
    truth = np.array([50.0])

    assert phm_score(truth + 10, truth) == pytest.approx(np.e - 1)
    assert phm_score(truth - 13, truth) == pytest.approx(np.e - 1)
    assert phm_score(truth, truth) == 0.0


def test_errors_either_way_weigh_the_same_in_the_rmse() -> None:
    assert rmse(np.array([3.0, -4.0]), np.zeros(2)) == pytest.approx(np.sqrt(12.5))


def test_a_truth_on_the_quantile_is_half_below_it() -> None:
    assert coverage(np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([1.0, 1.5])) == [0.25, 1.0]
