"""The detector of what is usual at a duty: what it takes for a fault, and what it takes for work."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldline_cloud.detectors.duty import Duty, DutySettings

S = 1_000_000_000
NAMES = ("load", "vibration", "temperature")
Rows = NDArray[np.float64]


def machine(count: int, *, seed: int = 1, steps: int = 100) -> Rows:
    """Rows of a machine whose load changes every so many rows, and whose vibration follows its square."""
    random = np.random.default_rng(seed)
    load = np.repeat(random.choice([0.3, 0.6, 0.9], count // steps + 1), steps)[:count]
    vibration = 0.2 + 2.0 * load**2 + random.normal(0.0, 0.03, count)
    return np.column_stack([load + random.normal(0.0, 0.01, count), vibration, 20.0 + random.normal(0.0, 0.2, count)])


def times(count: int, start: int = 0) -> NDArray[np.int64]:
    return (np.arange(start, start + count) + 1) * 10 * S


def taught(count: int = 4_000) -> tuple[Duty, Rows]:
    duty = Duty(NAMES)
    rows = machine(count + 500)
    duty.update(times(count), rows[:count])
    return duty, rows[count:]


def test_nothing_is_scored_before_it_has_learned() -> None:
    scores = Duty(NAMES).update(times(50), machine(50))

    assert np.isnan(scores).all()


def test_another_load_is_not_a_fault() -> None:
    duty, rows = taught()

    scores = duty.update(times(500, 4_000), rows)

    assert np.mean(scores >= 1.0) < 0.01  # a row or three about a step; the agent waits for a minute
    assert np.nanmax(scores) < 1.2


def test_a_vibration_that_is_too_high_for_its_load_is_found_though_higher_loads_shake_more() -> None:
    duty, rows = taught()
    rows[:, 0], rows[:, 1] = 0.3, 1.0

    scores = duty.update(times(500, 4_000), rows)

    assert scores[-1] > 1.0
    assert duty.contributions()[0][0] == "vibration"
    low, high = duty.expected()
    assert low[1] < 0.38 < high[1] < 1.0


def test_noise_is_found_where_the_mean_stays() -> None:
    duty, rows = taught()
    rows[:, 2] += np.random.default_rng(3).normal(0.0, 2.0, 500)

    scores = duty.update(times(500, 4_000), rows)

    assert np.nanmax(scores[20:]) > 1.0


def test_at_a_load_that_was_never_run_the_band_is_wide() -> None:
    duty, rows = taught()
    low, high = duty.expected()
    rows[:, 0], rows[:, 1] = 1.5, 0.2 + 2.0 * 1.5**2

    scores = duty.update(times(100, 4_000), rows[:100])

    wide = duty.expected()
    assert wide[1][1] - wide[0][1] > 2.0 * (high[1] - low[1])
    assert np.nanmax(scores) < 1.0


def test_noise_within_the_stretches_is_found() -> None:
    duty = Duty(NAMES)
    rows, spreads = machine(2_000), np.full((2_000, 3), 0.02)
    spreads[1_900:, 1] = 0.2

    scores = duty.update(times(2_000), rows, spreads)

    assert np.nanmax(scores[:1_900]) < 1.0 < np.nanmax(scores[1_900:])


def test_one_spike_is_no_news() -> None:
    duty, rows = taught()
    rows[250] += [0.0, 50.0, 500.0]

    scores = duty.update(times(500, 4_000), rows)

    assert np.nanmax(scores) < 1.2


def test_what_was_hardly_ever_exceeded_widens_the_band() -> None:
    calm, restless = machine(4_000), machine(4_000)
    for start in range(60, 4_000, 120):
        restless[start : start + 12, 2] += 3.0  # a door that is opened, each twenty minutes

    bands = []
    for rows in (calm, restless):
        duty = Duty(NAMES)
        duty.update(times(4_000), rows)
        bands.append(duty.expected()[1][2] - duty.expected()[0][2])

    assert bands[1] > 2.0 * bands[0]


def test_after_a_gap_it_waits_for_what_follows_late() -> None:
    duty, rows = taught()
    at = times(500, 4_000) + 3_600 * S

    scores = duty.update(at, rows)

    settled = at - at[0] >= 900 * S
    assert np.isnan(scores[~settled]).all()
    assert np.isfinite(scores[settled]).all()


def test_a_channel_that_never_moved_and_one_that_counts_pieces_are_left_alone() -> None:
    duty = Duty(("load", "pieces", "code"))
    rows = np.column_stack([machine(300)[:, 0], np.zeros(300), np.full(300, 7.0)])
    rows[200:, 1] += 1.0

    scores = duty.update(times(300), rows)

    assert np.nanmax(scores) < 1.0


def test_what_grows_slowly_does_not_teach_its_own_normal() -> None:
    duty, _ = taught(3_000)
    rows = machine(3_000, seed=2)
    rows[:, 1] += np.linspace(0.0, 2.0, 3_000)

    scores = duty.update(times(3_000, 3_000), rows)

    assert np.nanmax(scores[:1_500]) > 1.0


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=5))
def test_batches_do_not_matter(cuts: list[int]) -> None:
    rows, at = machine(400), times(400)
    edges = sorted({0, 400, *cuts})
    duty = Duty(NAMES)

    pieces = [duty.update(at[a:b], rows[a:b]) for a, b in pairwise(edges)]

    np.testing.assert_allclose(np.concatenate(pieces), Duty(NAMES).update(at, rows), rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=5), seed=st.integers(0, 99))
def test_batches_do_not_matter_where_values_are_missing_and_clocks_jump(cuts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, at = machine(300, seed=seed), times(300)
    rows[random.random(rows.shape) < 0.05] = np.nan
    for place, jump_s in zip(random.integers(0, 100, 4), (400, -30, -3_000, 20), strict=True):
        at[place:] += jump_s * S
    edges = sorted({0, 300, *cuts, *range(0, 300, 75)})
    duty, one_by_one = Duty(NAMES), Duty(NAMES)

    pieces = [duty.update(at[a:b], rows[a:b]) for a, b in pairwise(edges)]

    alone = [one_by_one.update(at[place : place + 1], rows[place : place + 1]) for place in range(300)]
    np.testing.assert_allclose(np.concatenate(pieces), np.concatenate(alone), rtol=1e-6)
    assert np.isfinite(np.concatenate(pieces)).sum() > 20


def test_a_restored_one_goes_on_as_if_nothing_had_happened() -> None:
    duty, rows = taught()
    other = Duty(NAMES)

    other.restore(json.loads(json.dumps(duty.snapshot())))

    np.testing.assert_array_equal(other.update(times(500, 4_000), rows), duty.update(times(500, 4_000), rows))


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Duty(NAMES).restore({"version": 9})


def test_gaps_repeats_and_values_that_are_none_are_borne() -> None:
    duty, rows = taught(500)
    rows[::3, 1] = np.nan
    rows[1::7] = np.nan
    at = times(500, 500)
    at[250:] += 3_600 * S
    at[400] = at[399]

    scores = duty.update(at, rows)

    assert scores.shape == (500,)
    assert np.isnan(scores[400])
    assert np.isfinite(scores[401])


def test_a_value_whose_square_is_beyond_what_memory_holds_is_borne() -> None:
    duty, rows = taught(500)
    rows[250, 0] = 1e30

    scores = duty.update(times(500, 500), rows)

    assert np.isfinite(scores[:250]).all()
    assert np.nanmax(scores[:250]) < 1.2
    assert np.isfinite(scores[-1])


def test_memory_is_bounded() -> None:
    duty = Duty(NAMES, DutySettings(memory_rows=100, stride_max=4))

    duty.update(times(3_000), machine(3_000))

    assert len(duty.snapshot()["memory"]["times"]) <= 100
