"""What is expected of channels: how far out features are, with and without those that are unknown."""

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.detectors.drivers import Drivers
from fieldline_cloud.detectors.expectation import Expectation, LearningSettings, learn

DRIVERS = Drivers.among(("load", "speed", "follows", "alone"), efforts=("load", "speed"), draws=(), never=())
ROWS = 200


def lesson() -> tuple[Expectation, NDArray[np.float64]]:
    """Load and speed that drive each other, a channel that follows both and one that follows nothing; the features."""
    random = np.random.default_rng(1)
    load = random.uniform(0.2, 1.0, ROWS)
    values = np.column_stack([load, 2.0 * load, 3.0 * load, np.zeros(ROWS)]) + random.normal(0.0, 0.02, (ROWS, 4))
    features = np.empty((ROWS, DRIVERS.count))
    now = DRIVERS.put(features, values, np.arange(ROWS) * 10_000_000_000)
    features[:, 4:8] = features[:, 8:12] = now
    rows = np.concatenate([features, values, np.full((ROWS, 4), 0.02)], axis=1)
    sizes = np.full((ROWS, 4), 0.05)
    return learn(rows, sizes, DRIVERS, LearningSettings(), until_ns=0, with_hours=False), features


def test_what_was_learned_is_near_and_what_never_was_is_far() -> None:
    expected, features = lesson()

    near, far = expected.leverages(features).mean(axis=0), expected.leverages(3.0 * features).mean(axis=0)

    assert np.all(near[:3] < 0.1)
    assert np.all(far[:3] > 10.0 * near[:3])


def test_the_leverages_of_a_group_sum_up_to_what_it_has_learned_of() -> None:
    expected, features = lesson()

    sums = expected.leverages(features).sum(axis=0)

    assert np.all(sums[:2] > 0.9)
    assert np.all(sums[:2] < 6.0)  # six features of the other driver: the trace of the hat matrix
    assert np.all((sums[2] > 0.9) & (sums[2] < 12.0))


def test_a_channel_that_nothing_explains_is_as_well_known_anywhere() -> None:
    expected, features = lesson()

    assert not expected.leverages(3.0 * features)[:, 3].any()


def test_an_unknown_driver_is_no_matter_to_channels_that_do_not_need_it() -> None:
    expected, features = lesson()
    before = expected.leverages(features)
    features[50, ::2] = np.nan  # the load, in each of its forms

    leverages = expected.leverages(features)

    assert np.isnan(leverages[50]).tolist() == [False, True, True, False]  # load goes by the speed alone
    np.testing.assert_allclose(leverages[50, [0, 3]], before[50, [0, 3]])
    np.testing.assert_allclose(np.delete(leverages, 50, axis=0), np.delete(before, 50, axis=0))
