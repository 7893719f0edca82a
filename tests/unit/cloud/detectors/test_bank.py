"""A bank of per-tag detectors: the scores of the plain class, and rows that come and go."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.detectors import Surprise, Tuning
from fieldline_cloud.detectors import DETECTORS, SurpriseBank

STEP_NS = 300_000_000_000
EAGER = Tuning(warm_up=3, record_rank=2, readings_a_rank=4, generation_days=0.001)

values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 3).map(float), st.sampled_from([0.0, 1e149, 20.5])
)
reading = st.tuples(st.integers(-(2**62), 2**62), values)
rounds = st.lists(
    st.lists(st.none() | reading, min_size=3, max_size=3), max_size=60
)  # of three series, None: not in it


@given(rounds)
@settings(max_examples=100)
def test_a_bank_scores_as_the_plain_class_does(given_rounds: list[list[tuple[int, float] | None]]) -> None:
    bank, plain = SurpriseBank(1, tuning=EAGER), [Surprise(EAGER) for _ in range(3)]
    rows = [bank.add() for _ in plain]

    for each in given_rounds:
        here = [number for number, one in enumerate(each) if one is not None]
        batch = [one for one in each if one is not None]
        scores = bank.update([rows[number] for number in here], [at for at, _ in batch], [value for _, value in batch])
        singles = [plain[number].step(*one) for number, one in zip(here, batch, strict=True)]
        np.testing.assert_allclose(scores, singles, rtol=1e-9)

    for row, one in zip(rows, plain, strict=True):
        assert bank.snapshot(row) == one.snapshot()


def test_a_bank_scores_long_series_as_the_plain_class_does() -> None:
    generator = np.random.default_rng(1)
    bank, plain = SurpriseBank(2), [Surprise(), Surprise()]
    rows = [bank.add() for _ in plain]

    for number in range(3_000):
        pair = generator.normal((10.0, 1e6), (1.0, 1e5)) + 5.0 * (number % 288 > 144)
        scores = bank.update(rows, [number * STEP_NS] * 2, pair)
        singles = [one.step(number * STEP_NS, float(value)) for one, value in zip(plain, pair, strict=True)]
        np.testing.assert_allclose(scores, singles, rtol=1e-9)


def filled(count: int) -> tuple[SurpriseBank, int]:
    """A bank with one series that has seen noise, and its row."""
    bank, generator = SurpriseBank(1), np.random.default_rng(2)
    row = bank.add()
    for number, value in enumerate(generator.normal(50.0, 1.0, count)):
        bank.update([row], [number * STEP_NS], [value])
    return bank, row


def test_a_series_moves_between_banks_and_to_the_plain_class() -> None:
    bank, row = filled(300)
    other, plain = SurpriseBank(1), Surprise()
    other.add()
    moved = other.add()

    kept = json.loads(json.dumps(bank.snapshot(row), allow_nan=False))
    other.restore(moved, kept)
    plain.restore(kept)

    expected = bank.update([row], [300 * STEP_NS], [55.0])
    assert other.update([moved], [300 * STEP_NS], [55.0]) == expected
    assert plain.step(300 * STEP_NS, 55.0) == expected[0]


def test_a_row_that_was_removed_starts_anew_for_the_next_series() -> None:
    bank, row = filled(100)
    keeper = bank.add()

    bank.remove(row)
    again = bank.add()

    assert again == row != keeper
    assert len(bank) == 2
    assert bank.learning(again)
    assert bank.snapshot(again) == Surprise().snapshot()


def test_a_bank_grows_and_keeps_what_it_knows() -> None:
    bank, row = filled(100)
    before = bank.snapshot(row)

    for _ in range(10):
        bank.add()

    assert len(bank) == 11
    assert bank.snapshot(row) == before


def test_a_band_and_a_reason_are_those_of_the_plain_class() -> None:
    bank, row = filled(300)
    plain = Surprise()
    plain.restore(bank.snapshot(row))

    assert bank.band(row) == plain.expected()
    assert bank.single(row).reason() == plain.reason()
    assert not bank.learning(row)


def test_bad_values_have_no_score_and_leave_the_others_theirs() -> None:
    bank, first = filled(300)
    second = bank.add()
    before = bank.snapshot(second)

    scores = bank.update([second, first], [0, 300 * STEP_NS], [math.nan, 50.0])

    assert math.isnan(scores[0])
    assert scores[1] >= 0.0
    assert bank.snapshot(second) == before


def test_an_empty_batch_is_no_trouble() -> None:
    bank, _ = filled(1)

    assert len(bank.update([], [], [])) == 0


@pytest.mark.parametrize("row", [-1, 1, 7])
def test_a_row_nobody_was_given_is_refused(row: int) -> None:
    bank, _ = filled(1)

    with pytest.raises(KeyError, match=rf"row {row} "):
        bank.snapshot(row)


def test_a_snapshot_of_another_version_is_refused_and_changes_nothing() -> None:
    bank, row = filled(60)
    before = bank.snapshot(row)

    with pytest.raises(ValueError, match="learn again"):
        bank.restore(row, before | {"version": 99})

    assert bank.snapshot(row) == before


def test_a_bank_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        SurpriseBank(0)


def test_the_per_tag_detector_is_found_by_its_name() -> None:
    assert DETECTORS["surprise"] is Surprise
