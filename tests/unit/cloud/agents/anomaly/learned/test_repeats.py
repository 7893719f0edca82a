"""A signal that says the same for much longer than it ever did is stuck."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.agents.anomaly.learned.columns import Raw
from fieldline_cloud.agents.anomaly.learned.repeats import Repeats


def raw(values: list[float], row: int = 0) -> Raw:
    count = len(values)
    return Raw(np.full(count, row, np.int64), np.arange(count, dtype=np.int64), np.array(values, np.float64))


def repeats(rows: int = 1) -> Repeats:
    made = Repeats()
    made.reserve(rows)
    return made


def lively(count: int) -> list[float]:
    return [float(number % 7) for number in range(count)]


def test_a_lively_signal_that_stands_still_is_stuck() -> None:
    made = repeats()
    made.add(raw(lively(600)))
    _, (early,) = made.add(raw([3.5] * 29))
    _, (late,) = made.add(raw([3.5]))
    assert early < 1.0 <= late


def test_a_signal_that_often_stands_still_is_not_stuck_so_soon() -> None:
    made = repeats()
    made.add(raw([float(number // 20) for number in range(4_000)]))
    _, (score,) = made.add(raw([0.5] * 60))
    assert score < 1.0


def test_what_hardly_ever_changes_has_no_score() -> None:
    made = repeats()
    _, (score,) = made.add(raw([5.0] * 2_000))
    assert np.isnan(score)


def test_a_value_that_is_none_neither_breaks_nor_makes_a_run() -> None:
    made = repeats()
    made.add(raw(lively(600)))
    made.add(raw([3.5, np.nan] * 20))
    assert made.snapshot(0)[1] == 20


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    one, other = repeats(), repeats()
    one.add(raw([*lively(600), 3.5, 3.5]))
    other.restore(0, one.snapshot(0))
    assert one.add(raw([3.5, 1.0]))[1] == other.add(raw([3.5, 1.0]))[1]
    assert one.snapshot(0) == other.snapshot(0)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=80), st.integers(1, 80))
def test_any_split_into_batches_remembers_the_same(values: list[int], cut: int) -> None:
    whole, parts = repeats(), repeats()
    numbers = [float(value) for value in values]
    whole.add(raw(numbers))
    for start in range(0, len(numbers), cut):
        parts.add(raw(numbers[start : start + cut]))
    assert whole.snapshot(0) == parts.snapshot(0)
