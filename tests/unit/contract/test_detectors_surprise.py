"""The per-tag detector: what it finds, what it ignores, and that nothing a sensor says can break it."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.detectors import Refractory, Surprise, Tuning
from fieldline.detectors.tuning import HOUR_NS

MINUTE_NS = 60_000_000_000
STEP_NS = 5 * MINUTE_NS
MONDAY_NS = 4 * 24 * HOUR_NS  # 1970-01-05

values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.0, -0.0, 1e149, -1e149, 5e-324, 20.5]),
)
readings = st.lists(st.tuples(st.integers(-(2**62), 2**62), values), max_size=120)
EAGER = Tuning(warm_up=3, record_rank=2, readings_a_rank=4, generation_days=0.001)  # every branch within a few readings


def noise(count: int, *, seed: int = 1, level: float = 50.0) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(level, 1.0) for _ in range(count)]


def times(count: int, *, first_ns: int = MONDAY_NS, step_ns: int = STEP_NS) -> list[int]:
    return [first_ns + step_ns * number for number in range(count)]


def same(left: list[float], right: list[float]) -> bool:
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(left, right, strict=True))


def trained(count: int = 2_000) -> tuple[Surprise, int]:
    """A detector that has seen plain noise, and the time of what comes next."""
    detector = Surprise()
    detector.update(times(count), noise(count))
    return detector, MONDAY_NS + STEP_NS * count


def test_it_says_nothing_while_it_learns() -> None:
    detector = Surprise(Tuning(warm_up=10))

    scores = detector.update(times(12), noise(12))

    assert [math.isnan(score) for score in scores] == [True] * 10 + [False] * 2
    assert not detector.learning


def test_a_spike_is_worth_an_alert() -> None:
    detector, now_ns = trained()

    assert detector.step(now_ns, 70.0) >= 1.0


def test_a_small_shift_that_lasts_is_worth_an_alert_though_none_of_its_readings_is() -> None:
    detector, now_ns = trained()

    scores = [detector.step(now_ns + STEP_NS * n, value) for n, value in enumerate(noise(60, seed=2, level=51.3))]

    assert scores[0] < 1.0
    assert max(scores) >= 1.0
    assert "lasting" in detector.reason()


def test_plain_noise_rarely_is() -> None:
    detector, now_ns = trained(5_000)

    scores = [detector.step(now_ns + STEP_NS * n, value) for n, value in enumerate(noise(5_000, seed=3))]

    assert sum(score >= 1.5 for score in scores) == 0
    assert sum(score >= 1.0 for score in scores) <= 25


def test_what_comes_every_day_at_the_same_hour_is_no_surprise_but_at_another_hour_it_is() -> None:
    day = [50.0] * 288
    day[96:144] = [80.0] * 48  # from eight to noon
    source = random.Random(4)
    series = [value + source.gauss(0, 1) for value in day * 10]
    detector = Surprise()

    scores = detector.update(times(len(series)), series)
    at_night_ns = MONDAY_NS + 10 * 24 * HOUR_NS + 2 * HOUR_NS
    surprise = max(detector.step(at_night_ns + STEP_NS * n, 80.0) for n in range(12))

    assert max(scores[7 * 288 :]) < 1.0
    assert surprise >= 1.0


def test_a_quiet_sunday_is_no_surprise_once_sundays_are_known() -> None:
    source = random.Random(5)
    weeks = [
        source.gauss(20.0 if at_ns // (24 * HOUR_NS) % 7 == 3 else 60.0, 1.0)
        for at_ns in times(8 * 7 * 24, step_ns=HOUR_NS)
    ]
    detector = Surprise()

    scores = detector.update(times(len(weeks), step_ns=HOUR_NS), weeks)

    assert max(scores[6 * 7 * 24 :]) < 1.0


def test_a_constant_tag_never_alarms_and_its_first_change_does() -> None:
    detector = Surprise()

    scores = detector.update(times(3_000), [20.1] * 3_000)

    assert set(scores[50:]) == {0.0}
    assert detector.step(MONDAY_NS + STEP_NS * 3_000, 20.2) >= 1.0


def test_a_tag_of_few_values_is_scored_by_how_long_it_stays_away() -> None:
    source = random.Random(6)
    series = [float(source.random() < 0.1) for _ in range(4_000)]
    detector = Surprise()
    scores = detector.update(times(len(series)), series)

    stuck = [detector.step(MONDAY_NS + STEP_NS * (4_000 + n), 1.0) for n in range(30)]

    assert sum(score >= 1.0 for score in scores[2_000:]) <= 20
    assert max(stuck) >= 1.5


def test_a_value_that_is_none_gets_no_score_and_teaches_nothing() -> None:
    detector, now_ns = trained()
    before = detector.snapshot()

    scores = detector.update([now_ns] * 5, [math.nan, math.inf, -math.inf, 1e151, -1e200])

    assert all(math.isnan(score) for score in scores)
    assert detector.snapshot() == before


def test_after_a_gap_it_goes_on_from_where_it_was() -> None:
    detector, now_ns = trained()

    score = detector.step(now_ns + 30 * 24 * HOUR_NS, 50.0)

    assert score < 1.0


def test_a_clock_set_back_for_good_does_not_keep_a_generation_for_ever() -> None:
    detector = Surprise(Tuning(record_rank=2, readings_a_rank=10, generation_days=1.0))
    detector.update(times(100, first_ns=10**18), [1000.0 * (number == 60) for number in range(100)])

    detector.update(times(2_000, first_ns=0), noise(2_000))

    assert detector.step(STEP_NS * 2_000, 90.0) >= 1.0


def test_a_second_spike_within_the_memory_has_to_be_larger_than_the_records() -> None:
    detector, now_ns = trained()
    first = detector.step(now_ns, 60.0)
    for number, value in enumerate(noise(400, seed=7)):
        detector.step(now_ns + STEP_NS * (number + 1), value)
    later = now_ns + STEP_NS * 401

    assert detector.step(later, 60.0) < first


def test_the_expected_band_holds_what_is_usual_and_not_what_alarms() -> None:
    detector, now_ns = trained()

    low, high = detector.expected()

    assert 40.0 < low < 50.0 < high < 60.0
    assert detector.step(now_ns, high + 3.0 * (high - low)) >= 1.0


def test_there_is_no_band_before_it_has_learnt() -> None:
    assert all(math.isnan(end) for end in Surprise().expected())
    assert Surprise().reason() == "still learning"


def test_the_band_is_what_is_usual_at_this_hour_after_the_tag_has_left_its_level() -> None:
    detector, now_ns = trained()
    detector.update(times(20, first_ns=now_ns), [500.0] * 20)

    low, high = detector.expected()

    assert low < high


def test_the_reason_names_the_largest_part_and_how_long_is_remembered() -> None:
    detector, now_ns = trained()

    detector.step(now_ns, 75.0)

    assert detector.reason().startswith("deviation from ")
    assert detector.reason().endswith("times the largest of the last 7 days")
    assert max(detector.surprises) > 1.0


@pytest.mark.parametrize(
    ("count", "step_ns", "span"), [(200, 1_000_000_000, "3 minutes"), (60, 10 * MINUTE_NS, "10 hours")]
)
def test_a_short_memory_is_told_in_smaller_units(count: int, step_ns: int, span: str) -> None:
    detector = Surprise()

    detector.update(times(count, step_ns=step_ns), noise(count))

    assert detector.reason().endswith(f"of the last {span}")


@given(readings, st.integers(0, 120))
@settings(max_examples=150)
def test_scores_do_not_depend_on_batches_nor_on_a_restart_between_them(
    given_readings: list[tuple[int, float]], cut: int
) -> None:
    at_ns, read = [at for at, _ in given_readings], [value for _, value in given_readings]
    whole, parts, restored = Surprise(EAGER), Surprise(EAGER), Surprise(EAGER)

    expected = whole.update(at_ns, read)
    first = parts.update(at_ns[:cut], read[:cut])
    restored.restore(json.loads(json.dumps(parts.snapshot(), allow_nan=False)))
    rest = restored.update(at_ns[cut:], read[cut:])

    assert same(first + rest, expected)
    assert restored.snapshot() == whole.snapshot()


@given(readings)
@settings(max_examples=150)
def test_whatever_comes_scores_and_bands_stay_numbers(given_readings: list[tuple[int, float]]) -> None:
    detector = Surprise(EAGER)

    for at_ns, value in given_readings:
        score = detector.step(at_ns, value)
        assert math.isnan(score) or 0.0 <= score <= 20.0
    low, high = detector.expected()

    assert math.isnan(low) or low <= high


def test_memory_does_not_grow_with_what_was_seen() -> None:
    detector = Surprise()
    sizes = []
    for part in range(4):
        detector.update(times(3_000, first_ns=MONDAY_NS + part * 3_000 * STEP_NS), noise(3_000, seed=part))
        sizes.append(len(json.dumps(detector.snapshot())))

    assert max(sizes[1:]) < 1.1 * min(sizes[1:])


def test_a_snapshot_of_another_version_is_refused_and_changes_nothing() -> None:
    detector, _ = trained(100)
    before = detector.snapshot()

    with pytest.raises(ValueError, match=r"version 0 .* learn again"):
        detector.restore(before | {"version": 0, "seen": 7})

    assert detector.snapshot() == before


@pytest.mark.parametrize(
    "damage",
    [
        {"level": {"mean": math.nan, "seen": 100}},
        {"season": {"at_ns": 0, "means": [0.0], "counts": [1]}},
        {"records": []},
        {"ratios": None},
    ],
)
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: dict[str, object]) -> None:
    detector, _ = trained(100)
    before = detector.snapshot()

    with pytest.raises(ValueError, match=r"damaged .* learn again"):
        detector.restore(before | damage)

    assert detector.snapshot() == before


@pytest.mark.parametrize(
    ("name", "value"), [("fast_rate", 0.0), ("slow_rate", 1.5), ("record_rank", 0), ("generation_days", math.nan)]
)
def test_a_tuning_that_cannot_work_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Tuning(**{name: value})  # type: ignore[arg-type]  # one value for fields of two types


def test_one_event_is_one_alarm() -> None:
    refractory = Refractory(quiet=3)

    passed = [refractory.step(score) for score in [0.4, 1.2, 1.3, math.nan, 1.4, 1.5, 1.1]]

    assert passed[:3] == [0.4, 1.2, 0.0]
    assert math.isnan(passed[3])
    assert passed[4:] == [0.0, 0.0, 1.1]


def test_a_refractory_goes_on_after_a_restart() -> None:
    refractory, restored = Refractory(quiet=2), Refractory(quiet=2)
    refractory.step(5.0)

    restored.restore(refractory.snapshot())

    assert [restored.step(2.0) for _ in range(3)] == [0.0, 0.0, 2.0]
