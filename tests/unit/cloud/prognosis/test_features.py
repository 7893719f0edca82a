import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_cloud.prognosis.features import BEGINNING, HealthIndex, base_features, ewma


def history(steps: int, *, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(10.0, 1.0, (steps, 3))


def test_a_mean_over_a_span_follows_the_values() -> None:
    (smooth,) = ewma(np.array([[1.0], [1.0], [4.0]]), 1)

    assert smooth[:, 0].tolist() == [1.0, 1.0, 4.0]
    assert ewma(np.array([[2.0], [4.0]]), 3)[0][1, 0] == pytest.approx((0.5 * 4 + 0.25 * 2) / 0.75)


def test_what_is_missing_leaves_the_mean_as_it_was() -> None:
    values = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, 3.0]])

    (smooth,) = ewma(values, 3)

    assert np.isnan(smooth[0, 0])
    assert (smooth[1, 0], smooth[2, 0], smooth[1, 1]) == (2.0, 2.0, 1.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 80))
def test_features_look_back_only(steps: int) -> None:
    whole = history(80)
    index = HealthIndex().fit(base_features(whole), np.arange(80.0)[::-1])

    cut = index.features(base_features(whole[:steps]))

    np.testing.assert_allclose(cut, index.features(base_features(whole))[:steps], rtol=1e-9, atol=1e-12)


def test_the_index_grows_with_wear_whichever_way_a_channel_goes() -> None:
    steps = 100
    wear = np.maximum(np.arange(steps) - BEGINNING, 0.0)[:, None]
    values = history(steps) * 0.1 + wear * np.array([[0.1, -0.1, 0.0]])

    base = base_features(values)
    found = HealthIndex().fit(base, np.arange(steps - 1.0, -1.0, -1.0)).features(base)[:, base.shape[1]]

    assert np.all(np.diff(found[BEGINNING + 30 :: 10]) > 0)


def test_a_channel_without_any_value_is_borne() -> None:
    values = history(50)
    values[:, 1] = np.nan

    base = base_features(values)

    assert np.isfinite(HealthIndex().fit(base, np.arange(50.0)[::-1]).features(base)[:, base.shape[1] :]).all()
