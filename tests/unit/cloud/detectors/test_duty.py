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


def taught(count: int = 2_000) -> tuple[Duty, Rows]:
    duty = Duty(NAMES)
    rows = machine(count + 500)
    duty.update(times(count), rows[:count])
    return duty, rows[count:]


def test_nothing_is_scored_before_it_has_learned() -> None:
    scores = Duty(NAMES).update(times(50), machine(50))

    assert np.isnan(scores).all()


def test_another_load_is_not_a_fault() -> None:
    duty, rows = taught()

    scores = duty.update(times(500, 2_000), rows)

    assert np.mean(scores >= 1.0) < 0.01  # a row or three about a step; the agent waits for a minute
    assert np.nanmax(scores) < 1.2


def test_a_vibration_that_is_too_high_for_its_load_is_found_though_higher_loads_shake_more() -> None:
    duty, rows = taught()
    rows[:, 0], rows[:, 1] = 0.3, 1.0

    scores = duty.update(times(500, 2_000), rows)

    assert scores[-1] > 1.0
    assert duty.contributions()[0][0] == "vibration"
    low, high = duty.expected()
    assert low[1] < 0.38 < high[1] < 1.0


def test_noise_is_found_where_the_mean_stays() -> None:
    duty, rows = taught()
    rows[:, 2] += np.random.default_rng(3).normal(0.0, 2.0, 500)

    scores = duty.update(times(500, 2_000), rows)

    assert np.nanmax(scores[20:]) > 1.0


def test_a_load_that_was_never_run_is_not_judged() -> None:
    duty, rows = taught()
    rows[:, 0], rows[:, 1], rows[:, 2] = 1.5, 4.7, np.nan

    scores = duty.update(times(100, 2_000), rows[:100])

    assert np.isnan(duty.expected()[0][1])
    assert not scores[-1] >= 1.0 or duty.contributions()[0][0] == "load"


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

    np.testing.assert_array_equal(np.concatenate(pieces), Duty(NAMES).update(at, rows))


def test_a_restored_one_goes_on_as_if_nothing_had_happened() -> None:
    duty, rows = taught()
    other = Duty(NAMES)

    other.restore(json.loads(json.dumps(duty.snapshot())))

    np.testing.assert_array_equal(other.update(times(500, 2_000), rows), duty.update(times(500, 2_000), rows))


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        Duty(NAMES).restore({"version": 9})


def test_gaps_repeats_and_values_that_are_none_are_borne() -> None:
    duty, rows = taught(500)
    rows[::3, 1] = np.nan
    rows[1::7] = np.nan
    at = times(500, 500)
    at[250:] += 3_600 * S
    at[300] = at[299]

    scores = duty.update(at, rows)

    assert scores.shape == (500,)
    assert np.isnan(scores[300])


def test_memory_is_bounded() -> None:
    duty = Duty(NAMES, DutySettings(memory_rows=100, stride_max=4))

    duty.update(times(3_000), machine(3_000))

    assert len(duty.snapshot()["times"]) <= 100
