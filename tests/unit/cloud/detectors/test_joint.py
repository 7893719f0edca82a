"""The joint detector: what it finds, what it leaves alone, and that no input upsets it."""

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldline_cloud.detectors.joint import CHANNELS_MAX, Joint, JointSettings

S = 1_000_000_000
NAMES = ("flow", "pressure", "current", "temperature")
SMALL = JointSettings(warmup_rows=80, block_rows=10, memory_rows=1_000)
Rows = NDArray[np.float64]


def pump(count: int, *, seed: int = 1) -> Rows:
    """A pump in normal running: flow, pressure and current go with the load, the temperature wanders."""
    dice = np.random.default_rng(seed)
    load = dice.normal(size=count)
    noise = dice.normal(scale=0.3, size=(count, 3))
    wandering = np.cumsum(dice.normal(scale=0.5, size=count)) + dice.normal(scale=0.2, size=count)
    return np.column_stack((100 + 5 * load, 3 - 0.2 * load, 12 + load, 60 + wandering)) + np.column_stack(
        (noise * (1.0, 0.05, 0.2), np.zeros(count))
    )


SERIES = pump(3_000)


def stretch(start: int, stop: int) -> Rows:
    return SERIES[start:stop].copy()


def seconds(count: int, start: int = 0) -> NDArray[np.int64]:
    return (np.arange(count, dtype=np.int64) + start) * S


def learned(rows: int = 600, config: JointSettings | None = None) -> Joint:
    joint = Joint(NAMES, config)
    joint.update(seconds(rows), stretch(0, rows))
    return joint


def test_scores_are_nan_while_it_learns_and_numbers_afterwards() -> None:
    scores = Joint(NAMES).update(seconds(600), pump(600))

    assert np.isnan(scores[:400]).all()
    assert np.isfinite(scores[400:]).all()


def test_a_normal_day_raises_nothing() -> None:
    scores = Joint(NAMES).update(seconds(20_000), pump(20_000))

    assert np.nanmax(scores[400:]) < 1.0


def test_a_channel_that_leaves_its_level_is_found_and_named() -> None:
    joint = learned()
    faulty = stretch(600, 660)
    faulty[:, 1] += 0.6

    scores = joint.update(seconds(60, 600), faulty)

    assert scores[-1] > 1.0
    assert joint.contributions()[0][0] == "pressure"
    assert sum(share for _, share in joint.contributions()) == pytest.approx(1.0)


def test_a_broken_relation_is_found_though_each_channel_alone_looks_normal() -> None:
    joint = learned()
    faulty = stretch(600, 700)
    faulty[:, 0] = 100 + 4.0
    faulty[:, 1] = 3 + 0.16  # a high flow is normal, and so is a high pressure: never both

    together = joint.update(seconds(100, 600), faulty)[-1]

    alone = []
    for column in (0, 1):
        other = learned()
        one = np.full_like(faulty, np.nan)
        one[:, column] = faulty[:, column]
        alone.append(other.update(seconds(100, 600), one)[-1])
    assert together > 1.0
    assert together > 1.3 * max(alone)


def test_a_wandering_channel_is_followed_and_its_jump_is_found() -> None:
    rows = stretch(0, 3_000)
    joint = Joint(NAMES)
    before = joint.update(seconds(2_900), rows[:2_900])
    rows[2_900:, 3] += 20.0

    after = joint.update(seconds(100, 2_900), rows[2_900:])

    assert np.ptp(rows[:2_900, 3]) > 20.0
    assert np.nanmax(before) < 1.0
    assert after.max() > 1.0


def test_a_missing_channel_is_left_out_and_the_others_still_judge() -> None:
    joint = learned()
    rows = stretch(600, 700)
    rows[:, 3] = np.nan
    rows[50:, 1] += 0.6

    scores = joint.update(seconds(100, 600), rows)

    assert scores[:50].max() < 1.0
    assert scores[-1] > 1.0
    assert joint.contributions()[0][0] == "pressure"


def test_a_row_with_nothing_in_it_has_no_score_and_changes_nothing() -> None:
    joint = learned()
    before = joint.snapshot()["lesson"]["channels"]["smooth"]

    scores = joint.update(seconds(3, 600), np.full((3, 4), np.nan))

    assert np.isnan(scores).all()
    assert joint.snapshot()["lesson"]["channels"]["smooth"] == before
    assert joint.contributions() == []
    assert joint.stats.rows_empty == 3


def test_a_channel_that_never_moved_is_not_judged() -> None:
    rows = pump(600)
    rows[:, 2] = 7.0
    joint = Joint(NAMES)

    scores = joint.update(seconds(600), rows)

    assert joint.judged == ("flow", "pressure", "temperature")
    assert np.isfinite(scores[400:]).all()


def test_a_dead_device_goes_on_learning_until_something_moves() -> None:
    joint = Joint(NAMES, SMALL)
    joint.update(seconds(100), np.ones((100, 4)))
    assert joint.learning
    assert joint.stats.warmups_without_movement == 1

    joint.update(seconds(200, 100), pump(200))

    assert not joint.learning


def test_channels_that_say_the_same_twice_are_no_trouble() -> None:
    rows = pump(700)
    rows[:, 1] = 2.0 * rows[:, 0]
    joint = Joint(NAMES)

    scores = joint.update(seconds(700), rows)

    assert np.mean(scores[400:] >= 1.0) < 0.05


def test_a_single_spike_does_not_stay() -> None:
    joint = learned()
    rows = stretch(600, 700)
    rows[50, 0] = 1e30

    scores = joint.update(seconds(100, 600), rows)

    assert (scores >= 1.0).sum() <= 3


def test_a_spike_in_the_warm_up_does_not_make_it_deaf() -> None:
    rows = pump(700)
    rows[100, 1] = 1e12
    rows[650:, 1] += 0.6

    scores = Joint(NAMES).update(seconds(700), rows)

    assert scores[-1] > 1.0


def test_alarming_rows_teach_nothing() -> None:
    joint = learned()
    normal = joint.snapshot()["lesson"]["normal"]
    faulty = stretch(600, 1_500)
    faulty[:, 1] += 2.0

    joint.update(seconds(900, 600), faulty)

    assert joint.snapshot()["lesson"]["normal"] == normal
    assert joint.stats.blocks_not_quiet == 18
    assert joint.update(seconds(1, 1_500), faulty[-1:])[0] > 1.0


def test_a_state_that_lasts_becomes_normal_and_the_old_one_stays_so() -> None:
    joint = Joint(NAMES)
    rows = pump(3_500)
    rows[600:3_000, 1] += 1.0

    scores = joint.update(seconds(3_500), rows)

    assert scores[650:1_500].min() > 1.0
    assert scores[2_000:].max() < 1.0
    assert joint.stats.states_adopted == 1


def test_relearning_takes_the_machine_as_it_is_now() -> None:
    joint = learned()
    other = stretch(600, 1_200) + np.array([20.0, 1.0, 3.0, 0.0])

    joint.relearn()
    scores = joint.update(seconds(600, 600), other)

    assert np.isnan(scores[:400]).all()
    assert scores[400:].max() < 1.0


def test_other_channels_are_taken_by_relearning() -> None:
    joint = learned()

    joint.relearn(("flow", "current"))
    scores = joint.update(seconds(600, 600), stretch(600, 1_200)[:, [0, 2]])

    assert joint.judged == ("flow", "current")
    assert np.isfinite(scores[-1])


def test_rows_that_do_not_fit_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"a column each for flow, pressure.*relearn"):
        learned().update(seconds(2, 600), np.ones((2, 3)))


@pytest.mark.parametrize("names", [(), ("a", "a"), tuple(map(str, range(CHANNELS_MAX + 1)))])
def test_no_channels_too_many_or_the_same_twice_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="each name once"):
        Joint(names)


@pytest.mark.parametrize(
    "make",
    [
        lambda: JointSettings(smoothing=0.0),
        lambda: JointSettings(warmup_rows=100),
        lambda: JointSettings(bar=0.0),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Callable[[], JointSettings]) -> None:
    with pytest.raises(ValueError, match=r"smoothing|warmup_rows|bar"):
        make()


def test_late_and_repeated_rows_have_no_score_and_change_nothing() -> None:
    joint, twin = learned(), learned()
    rows = stretch(600, 610)

    first = joint.update(seconds(10, 600), rows)
    again = joint.update(seconds(10, 600), rows + 50.0)

    assert np.isnan(again).all()
    assert joint.stats.rows_late == 10
    assert first == pytest.approx(twin.update(seconds(10, 600), rows))
    assert joint.update(seconds(5, 610), rows[:5]) == pytest.approx(twin.update(seconds(5, 610), rows[:5]))


def test_a_clock_that_is_set_back_goes_on_there() -> None:
    joint = learned()

    scores = joint.update(seconds(100, -100_000), stretch(600, 700))

    assert np.isfinite(scores).all()
    assert joint.stats.restarts == 1


def test_after_a_long_pause_the_smoothing_starts_afresh() -> None:
    joint = learned()
    rows = stretch(600, 700)
    rows[:20, 1] += 2.0
    joint.update(seconds(20, 600), rows[:20])

    scores = joint.update(seconds(80, 100_000), rows[20:])

    assert scores.max() < 1.0


def test_what_is_left_of_a_large_excursion_is_not_an_alarm_for_ever() -> None:
    joint = learned()
    rows = stretch(600, 1_000)
    rows[:100, 1] += 5.0
    joint.update(seconds(100, 600), rows[:100])
    bare, rest = learned(), stretch(700, 1_000)
    rest[:, 1] += 0.22

    after = joint.update(seconds(300, 700), rest)
    alone = bare.update(seconds(300, 700), rest)

    assert np.median(after[50:200]) < 0.75 * np.median(alone[50:200])
    assert after[-1] > 0.5 * alone[-1]


def test_the_expected_band_holds_what_is_normal_and_not_what_is_not() -> None:
    joint = learned()

    low, high = joint.expected()

    assert low[0] < 100 < high[0]
    assert low[1] < 3 < high[1] < 4
    assert np.isnan(Joint(NAMES).expected()[0]).all()


@pytest.mark.parametrize("rows", [37, 83, 600])
def test_a_restored_detector_goes_on_as_the_one_it_was_taken_from(rows: int) -> None:
    joint = learned(rows, SMALL)
    other = Joint(("any",), SMALL)

    other.restore(json.loads(json.dumps(joint.snapshot())))

    new = stretch(600, 900)
    new[20:40, 2] = np.nan
    expected = joint.update(seconds(300, 600), new)
    np.testing.assert_allclose(other.update(seconds(300, 600), new), expected, rtol=1e-9)
    assert dict(other.contributions()) == pytest.approx(dict(joint.contributions()))


def test_a_snapshot_that_is_none_is_refused_and_changes_nothing() -> None:
    joint = learned(config=SMALL)
    before = joint.snapshot()

    for broken in ({}, {**before, "version": 0}, {**before, "lesson": {}}, {**before, "channels": ["a", "a"]}):
        with pytest.raises(ValueError, match="no snapshot of a joint detector"):
            joint.restore(broken)

    assert joint.snapshot() == before


@pytest.mark.parametrize("rows", [70, 637])
def test_a_snapshot_under_other_settings_keeps_what_was_learned(rows: int) -> None:
    before = learned(rows, SMALL)
    other = Joint(NAMES, JointSettings(warmup_rows=40, block_rows=8))

    other.restore(before.snapshot())
    scores = other.update(seconds(200, rows), stretch(rows, rows + 200))

    assert other.learning is False
    assert np.isnan(scores[0]) == before.learning
    assert np.isfinite(scores[-1])


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_scores_do_not_depend_on_how_rows_come_in_batches(data: st.DataObject) -> None:
    rows, times = pump(300), seconds(300)
    holes = data.draw(st.lists(st.tuples(st.integers(0, 299), st.integers(0, 3)), max_size=40))
    for row, column in holes:
        rows[row, column] = np.nan
    jump = data.draw(st.integers(0, 299))
    times[jump:] += data.draw(st.sampled_from((0, 1_000 * S, -1_000 * S, -3 * S)))
    whole = Joint(NAMES, SMALL).update(times, rows)

    split = Joint(NAMES, SMALL)
    cuts = sorted(data.draw(st.lists(st.integers(0, 300), max_size=8)))
    edges = [0, *cuts, 300]
    parts = [split.update(times[a:b], rows[a:b]) for a, b in pairwise(edges)]

    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-12)


values = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from((0.0, 1.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 1 << 62), st.lists(values, min_size=4, max_size=4))))
def test_no_input_upsets_it(seed: int, poison: list[tuple[int, list[float]]]) -> None:
    dice = np.random.default_rng(seed)
    joint = Joint(NAMES, SMALL)
    rows, times = pump(200, seed=seed), seconds(200)
    for time, row in poison:
        at = dice.integers(200)
        rows[at], times[at] = row, time if dice.random() < 0.5 else times[at]

    scores = joint.update(times, rows)

    assert not np.isinf(scores).any()
    assert (scores[np.isfinite(scores)] >= 0.0).all()
    json.dumps(joint.snapshot(), allow_nan=False)
