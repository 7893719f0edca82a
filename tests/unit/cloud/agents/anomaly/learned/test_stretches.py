"""Readings are condensed to stretches of time, whatever batches they come in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.agents.anomaly.learned.columns import Raw
from fieldline_cloud.agents.anomaly.learned.stretches import Stretches, Told

S = 1_000_000_000
T0 = 1_760_000_000 * S


def stretches(rows: int = 1) -> Stretches:
    made = Stretches(10 * S)
    made.reserve(rows)
    return made


def raw(*readings: tuple[int, float, float]) -> Raw:
    """(row, second, value)"""
    rows, seconds, values = zip(*readings, strict=True)
    times = np.array([T0 + round(second * S) for second in seconds], np.int64)
    return Raw(np.array(rows, np.int64), times, np.array(values, np.float64))


def flat(told: list[Told]) -> list[tuple[int, int, float]]:
    return [
        (int(row), int(at_ns - T0) // S, float(mean))
        for each in told
        for row, at_ns, mean in zip(each.rows, each.at_ns, each.means, strict=True)
    ]


def test_a_stretch_is_told_by_the_first_reading_of_the_next() -> None:
    made = stretches()
    assert list(made.add(raw((0, 0, 1.0), (0, 5, 3.0)))) == []
    assert flat(list(made.add(raw((0, 10, 9.0))))) == [(0, 5, 2.0)]


def test_the_spread_needs_four_readings() -> None:
    made = stretches()
    (few,) = made.add(raw((0, 0, 1.0), (0, 1, 3.0), (0, 10, 0.0)))
    (many,) = made.add(raw((0, 11, 2.0), (0, 12, 0.0), (0, 13, 2.0), (0, 20, 0.0)))
    assert np.isnan(few.spreads[0])
    assert many.spreads[0] == pytest.approx(1.0)


def test_a_row_read_less_than_twice_a_stretch_is_told_at_once() -> None:
    made = stretches()
    said = [flat(list(made.add(raw((0, 100 * step, float(step)))))) for step in range(4)]
    assert said == [[], [(0, 0, 0.0), (0, 100, 1.0)], [(0, 200, 2.0)], [(0, 300, 3.0)]]


def test_late_readings_are_counted_and_change_nothing() -> None:
    made = stretches()
    told = list(made.add(raw((0, 0, 1.0), (0, 10, 2.0), (0, 5, 100.0), (0, 20, 3.0))))
    assert flat(told) == [(0, 0, 1.0), (0, 10, 2.0), (0, 20, 3.0)]
    assert made.late == 1


def test_a_clock_that_was_set_back_goes_on_there() -> None:
    made = stretches()
    told = list(made.add(raw((0, 1000, 1.0), (0, 0, 2.0), (0, 10, 3.0))))
    assert flat(told)[0] == (0, 1000, 1.0)
    assert (0, 0, 2.0) in flat(told)
    assert made.set_back == 1


def test_what_is_no_value_or_no_moment_is_left_out() -> None:
    made = stretches()
    bad = raw((0, 0, np.nan), (0, 1, np.inf), (0, 2, 1.0), (0, 12, 1.0))
    bad.at_ns[2] = -5
    assert list(made.add(bad)) == []


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    one, other = stretches(), stretches()
    list(one.add(raw((0, 0, 1.0), (0, 5, 3.0))))
    other.restore(0, one.snapshot(0))
    assert flat(list(other.add(raw((0, 10, 9.0))))) == flat(list(one.add(raw((0, 10, 9.0)))))


dense = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5), min_size=1, max_size=12)


@given(st.lists(dense, min_size=1, max_size=3), st.integers(1, 60))
def test_any_split_into_batches_tells_the_same(rows: list[list[list[float]]], cut: int) -> None:
    whole, parts = stretches(len(rows)), stretches(len(rows))
    readings = [
        (row, 10 * stretch + place, value)
        for row, told in enumerate(rows)
        for stretch, values in enumerate(told)
        for place, value in enumerate(values)
    ]
    expected = sorted(flat(list(whole.add(raw(*readings)))))
    batches = [readings[start : start + cut] for start in range(0, len(readings), cut)]
    found = sorted(each for batch in batches for each in flat(list(parts.add(raw(*batch)))))
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    assert [each[2] for each in found] == pytest.approx([each[2] for each in expected], rel=1e-6, abs=1e-4)
