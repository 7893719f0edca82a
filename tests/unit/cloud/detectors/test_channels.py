"""Channels that are followed: levels, spikes, smoothing, holes."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldline_cloud.detectors.channels import Channels

Rows = NDArray[np.float64]


def channels(*gains: float, clip: float = 12.0) -> Channels:
    count = len(gains)
    return Channels(np.array(gains), np.full(count, 2.0), np.full(count, 10.0), smoothing=0.1, clip=clip)


def test_a_steady_distance_is_approached_in_scales() -> None:
    smooth = channels(0.0).follow(np.full((200, 1), 14.0))

    assert 0.0 < smooth[0, 0] < smooth[10, 0] < smooth[-1, 0]
    assert abs(smooth[-1, 0] - 2.0) < 1e-6


def test_a_wandering_level_follows_and_a_level_that_stays_does_not() -> None:
    slope = 10.0 + 0.05 * np.arange(1_000.0)

    smooth = channels(0.0, 0.3).follow(np.column_stack((slope, slope)))

    assert smooth[-1, 0] > 10.0
    assert smooth[-1, 1] < 0.2


def test_a_level_is_not_followed_faster_than_three_scales_at_a_time() -> None:
    followed = channels(0.1)

    followed.follow(np.full((10, 1), 1e9))

    assert abs(followed.level[0] - (10.0 + 10 * 0.1 * 3.0 * 2.0)) < 1e-9


def test_a_value_that_stands_alone_counts_for_less_than_one_that_stays() -> None:
    alone, twice = channels(0.0), channels(0.0)

    one = alone.follow(np.array([[10.0], [1e6], [10.0]]))
    two = twice.follow(np.array([[10.0], [1e6], [1e6]]))

    assert abs(one[1, 0] - 0.5) < 1e-12
    assert abs(two[2, 0] - (0.9 * 0.5 + 0.1 * 12.0)) < 1e-12


def test_a_channel_long_missing_starts_afresh() -> None:
    followed = channels(0.0, 0.5)
    followed.follow(np.full((50, 2), 20.0))

    followed.follow(np.full((40, 2), np.nan))
    smooth = followed.follow(np.array([[10.0, 99.0]]))

    assert smooth.tolist() == [[0.0, 0.0]]
    assert followed.level.tolist() == [10.0, 99.0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 300), st.sets(st.integers(0, 299), max_size=20))
def test_rows_with_holes_are_followed_as_rows_without(seed: int, cut: int, holes: set[int]) -> None:
    dice = np.random.default_rng(seed)
    rows: Rows = 10.0 + dice.normal(scale=dice.choice((1.0, 30.0)), size=(300, 2))
    rows[list(holes), 1] = np.nan
    whole, parts, scalar = channels(0.0, 0.2), channels(0.0, 0.2), channels(0.0, 0.2)

    expected = whole.follow(rows)
    first = parts.follow(rows[:cut])
    restored = Channels.restored(json.loads(json.dumps(parts.snapshot())))
    second = restored.follow(rows[cut:])
    one_by_one = np.vstack([scalar.follow(row[None, :]) for row in rows])

    np.testing.assert_allclose(np.vstack((first, second)), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-9, atol=1e-12)
