"""The slope of memory over time, and from where on it would show."""

import random

import pytest

from benchmarks.hub.soak import detection_floor, slope


def series(growth: float, noise: float, *, seed: int = 7) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    return [(2.0 * n, 80 + growth * 2 * n + chance.gauss(0, noise)) for n in range(60)]


def test_the_slope_of_a_line_is_its_growth_whatever_a_few_samples_say() -> None:
    line = series(0.01, 0.0)
    line[20] = (40.0, 500.0)

    assert slope(line) == pytest.approx(0.01)


def test_noise_alone_seldom_reaches_the_floor() -> None:
    reached = [abs(slope(flat)) > detection_floor(flat) for flat in (series(0.0, 1.0, seed=seed) for seed in range(12))]

    assert sum(reached) <= 2


def test_a_leak_well_over_the_noise_shows() -> None:
    leak = series(0.1, 1.0)

    assert slope(leak) > detection_floor(leak)


def test_a_flat_line_has_the_floor_of_one_page() -> None:
    assert 0 < detection_floor(series(0.0, 0.0)) < 0.001
