"""A tag on its way to its limit, and everything else that a tag may do instead."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldline_cloud.prognosis.degradation import Degradation
from fieldline_cloud.prognosis.tags import Prognosis

HOUR = 3_600 * 10**9
T0 = 1_760_000_400 * 10**9 // HOUR * HOUR
HEALTHY, LIMIT = 2.0, 7.1

Values = NDArray[np.float64]


def noise(count: int, *, seed: int = 1) -> Values:
    return np.random.default_rng(seed).normal(0.0, 0.08, count)


def worn(hours: int, *, onset: int = 48, per_h: float = 0.05) -> Values:
    """Four readings an hour: healthy, and from the onset on rising by `per_h`."""
    at_h = np.arange(4 * hours) / 4
    return HEALTHY + np.maximum(at_h - onset, 0.0) * per_h + noise(len(at_h))


def times_of(values: Values, *, from_h: float = 0.0) -> NDArray[np.int64]:
    return T0 + int(from_h * HOUR) + np.arange(len(values), dtype=np.int64) * (HOUR // 4)


def after(values: Values, **settings: float) -> Degradation:
    degradation = Degradation(LIMIT, **settings)  # type: ignore[arg-type]  # some settings are whole numbers
    degradation.update(times_of(values), values)
    return degradation


def remaining(degradation: Degradation, at_h: float) -> Prognosis | None:
    return degradation.remaining(T0 + int(at_h * HOUR))


def said(degradation: Degradation, at_h: float) -> Prognosis:
    prognosis = remaining(degradation, at_h)
    assert prognosis is not None
    return prognosis


def test_a_straight_wear_is_told_when_it_ends() -> None:
    prognosis = said(after(worn(100)), 100)

    assert prognosis.p50_h == pytest.approx(48 + 5.1 / 0.05 - 100, rel=0.15)
    assert prognosis.p10_h < prognosis.p50_h < prognosis.p90_h
    assert abs(prognosis.since_ns - (T0 + 48 * HOUR)) < 12 * HOUR
    assert prognosis.trend.startswith("rising by 1.")


def test_a_wear_that_goes_ever_faster_is_not_taken_for_a_straight_one() -> None:
    at_h = np.arange(4 * 140) / 4
    values = HEALTHY + 0.1 * np.expm1(np.maximum(at_h - 40, 0) / 25) + noise(len(at_h))
    end_h = 40 + 25 * math.log1p(51)

    prognosis = said(after(values[: 4 * 120]), 120)

    assert prognosis.p50_h == pytest.approx(end_h - 120, rel=0.35)
    assert "ever faster" in prognosis.trend


def test_a_flow_that_sinks_has_an_end_too() -> None:
    values = 100.0 - (worn(100) - HEALTHY) * 10
    degradation = Degradation(60.0, falling=True)
    degradation.update(times_of(values), values)

    prognosis = said(degradation, 100)

    assert prognosis.p50_h == pytest.approx(48 + 80 - 100, rel=0.2)
    assert prognosis.trend.startswith("falling by")


def test_the_life_shrinks_as_time_goes_by_without_a_reading() -> None:
    degradation = after(worn(100))

    assert said(degradation, 110).p50_h == pytest.approx(said(degradation, 100).p50_h - 10, abs=3)


def test_past_the_limit_no_life_remains() -> None:
    prognosis = said(after(worn(170)), 170)

    assert (prognosis.p10_h, prognosis.p50_h, prognosis.p90_h) == (0.0, 0.0, 0.0)


def test_a_limit_that_a_healthy_machine_is_at_already_is_told_as_reached() -> None:
    degradation = Degradation(HEALTHY - 1)
    values = worn(100)
    degradation.update(times_of(values), values)

    assert said(degradation, 100).p90_h == 0.0


at_h = np.arange(4 * 24 * 9) / 4
QUIET = {
    "noise": HEALTHY + noise(len(at_h)),
    "a load that changes with the day": HEALTHY + np.sin(at_h / 24 * 2 * np.pi) + noise(len(at_h)),
    "a load that changes with the shift": HEALTHY + 1.5 * (at_h % 24 > 8) + noise(len(at_h)),
    "weekends": HEALTHY - 1.5 * (at_h % 168 > 120) + noise(len(at_h)),
    "a load that stays higher": HEALTHY + 1.5 * (at_h > 100) + noise(len(at_h)),
    "a load that stays lower": HEALTHY - 1.5 * (at_h > 100) + noise(len(at_h)),
    "single outliers": HEALTHY + 20.0 * (np.arange(len(at_h)) % 97 == 5) + noise(len(at_h)),
    "no change at all": np.full(len(at_h), HEALTHY),
    "a drift that would take years": HEALTHY + at_h * 1e-5 + noise(len(at_h)),
    "a wear that stopped long ago": HEALTHY + np.minimum(at_h, 20) * 0.02 + noise(len(at_h)),
    "getting better": HEALTHY - 0.003 * at_h + noise(len(at_h)),
    "nothing": np.full(len(at_h), np.nan),
}


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_said_while_nothing_degrades(name: str) -> None:
    degradation = Degradation(LIMIT)
    times, values = times_of(QUIET[name]), QUIET[name]
    for begin in range(0, len(values), 24):
        degradation.update(times[begin : begin + 24], values[begin : begin + 24])

        assert degradation.remaining(int(times[begin : begin + 24][-1])) is None, begin / 4


def test_a_few_points_are_no_ground_for_a_word() -> None:
    degradation = after(worn(20, onset=2))

    assert degradation.learning
    assert remaining(degradation, 20) is None


def test_after_a_repair_the_prognosis_is_withdrawn_and_everything_starts_anew() -> None:
    degradation = after(worn(100))
    assert remaining(degradation, 100)

    good = HEALTHY + noise(4 * 40)
    degradation.update(times_of(good, from_h=100), good)
    assert remaining(degradation, 140) is None

    again = worn(60, onset=10)
    degradation.update(times_of(again, from_h=140), again)
    assert said(degradation, 200).p50_h == pytest.approx(10 + 102 - 60, rel=0.2)


def test_a_pause_in_the_degradation_is_no_repair() -> None:
    degradation = after(worn(100))
    before = said(degradation, 100)
    eased = HEALTHY + 1.6 + noise(4 * 6)

    degradation.update(times_of(eased, from_h=100), eased)

    assert said(degradation, 106).p50_h > before.p50_h - 6


def test_a_load_that_changes_does_not_hide_the_wear_that_follows() -> None:
    values = worn(300, onset=200)
    values[: 4 * 100] -= 1.0

    assert said(after(values), 300).p50_h == pytest.approx(200 + 102 - 300, abs=4)


def test_what_a_standing_machine_says_is_not_listened_to() -> None:
    values = worn(100)
    values[4 * 80 : 4 * 90] = 0.01

    prognosis = said(after(values, idle_below=0.5), 100)

    assert prognosis.p50_h == pytest.approx(48 + 102 - 100, rel=0.15)


def test_gaps_and_missing_values_are_survived() -> None:
    values = worn(100)
    values[::3] = np.nan
    values[1::7] = np.inf
    values[4 * 60 : 4 * 75] = np.nan

    assert said(after(values), 100).p50_h == pytest.approx(50, rel=0.2)


def test_a_backlog_that_comes_late_counts_where_it_belongs() -> None:
    values, in_order = worn(100), Degradation(LIMIT)
    times = times_of(values)
    in_order.update(times, values)
    late = Degradation(LIMIT)
    order = np.r_[0 : 4 * 60, 4 * 90 : 4 * 100 - 8, 4 * 60 : 4 * 90, 4 * 100 - 8 : 4 * 100]

    late.update(times[order], values[order])

    assert said(late, 100).p50_h == pytest.approx(said(in_order, 100).p50_h, rel=0.05)


def test_readings_from_a_clock_that_was_ahead_are_forgotten() -> None:
    values, degradation = worn(100), Degradation(LIMIT)
    times = times_of(values)
    degradation.update(times[:200], values[:200])
    degradation.update(times[200:232] + 400 * 24 * HOUR, values[200:232])
    assert remaining(degradation, 58) is None
    degradation.update(times[232:], values[232:])

    assert said(degradation, 100).p50_h == pytest.approx(50, rel=0.2)


def test_a_clock_set_back_does_no_lasting_harm() -> None:
    values, degradation = worn(200, onset=148), Degradation(LIMIT)
    degradation.update(times_of(values[:320], from_h=48), values[:320])
    degradation.update(times_of(values)[320:], values[320:])

    assert said(degradation, 200).p50_h == pytest.approx(50, rel=0.25)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=8), st.integers(0, 400))
def test_neither_batches_nor_a_restart_make_a_difference(cuts: list[int], restart: int) -> None:
    values = worn(100)
    times = times_of(values)
    whole, parts = after(values), Degradation(LIMIT)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(values)], strict=True):
        parts.update(times[begin:end], values[begin:end])
    halves = after(values[:restart])
    halves = Degradation(LIMIT).restore(json.loads(json.dumps(halves.snapshot())))
    halves.update(times[restart:], values[restart:])

    assert remaining(parts, 100) == remaining(halves, 100) == remaining(whole, 100)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.one_of(st.floats(), st.sampled_from([0.0, 2.0, 7.0, 1e308, -1e308]))),
        max_size=300,
    ),
    st.booleans(),
)
def test_nothing_that_a_sensor_says_breaks_it(readings: list[tuple[int, float]], falling: bool) -> None:
    degradation = Degradation(LIMIT, falling=falling, warmup=8, points_max=32)
    times = np.array([T0 + hour * HOUR for hour, _ in readings], dtype=np.int64)
    degradation.update(times, np.array([value for _, value in readings], dtype=np.float64))

    for hour in (0, 150, 400):
        prognosis = remaining(degradation, hour)
        assert prognosis is None or 0.0 <= prognosis.p10_h <= prognosis.p50_h <= prognosis.p90_h < math.inf
    assert len(degradation.snapshot()["indicator"]["points"]) <= 32
