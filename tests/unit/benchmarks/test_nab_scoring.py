"""NAB's rules on cases small enough to work out by hand."""

import math

import numpy as np
import pytest

from benchmarks.anomaly.scoring import (
    LOW_FN,
    LOW_FP,
    PROFILES,
    STANDARD,
    Floats,
    Labelled,
    Profile,
    alarms,
    best,
    score,
    sigmoid,
    worth,
)

ROWS = 100  # of which the first 15 are probation
WINDOW = (50, 59)


def series(*windows: tuple[int, int], rows: int = ROWS) -> Labelled:
    return Labelled("made/up.csv", np.arange(rows), np.zeros(rows), windows)


def scores(*flagged: int, rows: int = ROWS, level: float = 1.0) -> Floats:
    made = np.zeros(rows)
    made[list(flagged)] = level
    return made


def result(*flagged: int, profile: Profile = STANDARD) -> float:
    return score([series(WINDOW)], [scores(*flagged)], profile, 1.0)


@pytest.mark.parametrize("profile", PROFILES)
def test_silence_is_0_and_an_alarm_at_the_start_of_each_window_is_100(profile: Profile) -> None:
    corpus = [series(WINDOW, (80, 89)), series(), series((20, 20))]

    silent = [scores(), scores(), scores()]
    perfect = [scores(50, 80), scores(), scores(20)]

    assert score(corpus, silent, profile, 0.5) == 0.0
    assert score(corpus, perfect, profile, 0.5) == pytest.approx(100.0)


def test_the_sigmoid_is_1_long_before_the_end_of_a_window_0_there_and_minus_1_long_after() -> None:
    assert sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert sigmoid(0.0) == 0.0
    assert sigmoid(1.0) == pytest.approx(-0.98661, abs=1e-5)
    assert sigmoid(3.1) == -1.0


def test_within_a_window_the_first_alarm_counts_alone() -> None:
    assert result(53, 54, 58) == result(53)


def test_a_later_alarm_is_worth_less() -> None:
    last_row = (2.0 / (1.0 + math.exp(-0.5)) - 1.0) / sigmoid(-1.0)

    assert result(50) > result(55) > result(59) > 0.0
    assert result(59) == pytest.approx(100.0 * (last_row + 1.0) / 2.0)


def test_an_alarm_far_from_any_window_costs_the_weight_of_a_false_one() -> None:
    assert result(20) == pytest.approx(100.0 * -0.11 / 2.0)
    assert result(20, profile=LOW_FP) == pytest.approx(100.0 * -0.22 / 2.0)
    assert result(20, profile=LOW_FN) == pytest.approx(100.0 * -0.11 / 3.0)
    assert result(99) == pytest.approx(100.0 * -0.11 / 2.0)  # 40 rows behind it, more than three of its lengths


def test_an_alarm_right_behind_a_window_costs_less() -> None:
    assert result(60) == pytest.approx(100.0 * 0.11 * sigmoid(1 / 9) / 2.0)
    assert result(60) > result(65) > result(80)


def test_every_false_alarm_costs() -> None:
    assert result(20, 21, 22) == pytest.approx(3 * result(20))


def test_what_happens_during_probation_does_not_count() -> None:
    assert series().probation == 15
    assert series(rows=10_000).probation == 750
    assert result(3, 14) == 0.0
    assert result(15) < 0.0


def test_a_window_that_starts_in_probation_can_still_be_found_behind_it() -> None:
    corpus = [series((10, 19))]

    assert score(corpus, [scores(12)], STANDARD, 1.0) == 0.0
    assert score(corpus, [scores(16)], STANDARD, 1.0) > 0.0


def test_behind_the_second_window_an_alarm_is_measured_from_that_one() -> None:
    value, window = worth(series((20, 29), (50, 69)))

    assert value[30] == pytest.approx(sigmoid(1 / 9))
    assert value[70] == pytest.approx(sigmoid(1 / 19))
    assert value[19] == -1.0
    assert (window[49], window[50], window[69], window[70]) == (-1, 1, 1, -1)


def test_the_best_threshold_is_the_one_no_other_beats() -> None:
    corpus = [series(WINDOW), series((70, 79))]
    generator = np.random.default_rng(1)
    given = [generator.random(ROWS).round(2) for _ in corpus]

    for profile in PROFILES:
        highest, threshold = best(corpus, given, profile)
        tried = [score(corpus, given, profile, level) for level in np.unique(np.concatenate(given))]
        assert highest == pytest.approx(max(0.0, *tried))
        assert threshold == math.inf or score(corpus, given, profile, threshold) == pytest.approx(highest)


def test_equal_scores_are_flagged_together() -> None:
    highest, threshold = best([series(WINDOW)], [scores(20, 50, level=0.7)], STANDARD)

    assert threshold == 0.7
    assert highest == pytest.approx(result(20, 50))


def test_where_no_threshold_is_better_than_silence_none_is_chosen() -> None:
    assert best([series(WINDOW)], [scores(20)], STANDARD) == (0.0, math.inf)


def test_a_reading_without_a_score_is_no_alarm() -> None:
    learning = np.full(ROWS, np.nan)

    assert score([series(WINDOW)], [learning], STANDARD, 1.0) == 0.0
    assert best([series(WINDOW)], [learning], STANDARD) == (0.0, math.inf)


def test_found_windows_and_false_alarms_are_counted_outside_probation() -> None:
    done = alarms([series(WINDOW, (80, 89))], [scores(3, 20, 52, 53)], 1.0)

    assert (done.found, done.windows, done.false) == (1, 2, 1)


def test_scores_that_are_too_few_are_refused_by_the_series_name() -> None:
    with pytest.raises(ValueError, match=r"made/up.csv: 5 scores for 100 readings"):
        score([series(WINDOW)], [np.zeros(5)], STANDARD, 1.0)


def test_a_corpus_without_windows_has_no_result() -> None:
    with pytest.raises(ValueError, match="none of these series has a window"):
        score([series()], [scores()], STANDARD, 1.0)
