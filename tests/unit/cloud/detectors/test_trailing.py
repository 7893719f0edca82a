"""Exponential means of a batch are those that one row after the other gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fieldline_cloud.detectors.trailing import evenly, first_known, held, lately, trailing

ROWS = arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.floats(-1e6, 1e6))
Rows = NDArray[np.float64]


def one_by_one(rows: Rows, mean: Rows, rates: Rows) -> Rows:
    found = []
    for row, rate in zip(rows, rates, strict=True):
        mean = row if np.isnan(mean).all() else mean + rate * (row - mean)
        found.append(mean)
    return np.array(found)


@given(rows=ROWS, begin=st.floats(-1e3, 1e3) | st.just(np.nan), rate=st.floats(0.0, 1.0))
def test_a_batch_is_what_its_rows_are_one_by_one(rows: Rows, begin: float, rate: float) -> None:
    before = np.full(2, begin)

    found = trailing(rows, before, evenly(len(rows), rate))

    np.testing.assert_allclose(found, one_by_one(rows, before, np.full(len(rows), rate)), rtol=1e-9, atol=1e-5)


@given(rows=ROWS, begin=st.floats(-1e3, 1e3) | st.just(np.nan), data=st.data())
def test_slow_means_go_by_the_time_that_has_passed(rows: Rows, begin: float, data: st.DataObject) -> None:
    passed_ns = data.draw(arrays(np.int64, len(rows), elements=st.integers(0, 10**12)))
    before = np.full((2, 2), begin)

    found = trailing(rows, before, lately(passed_ns.tobytes(), (30.0, 900.0)))

    for mean, own, late_s in zip(found, before, (30.0, 900.0), strict=True):
        rates = -np.expm1(-passed_ns / 1e9 / late_s)
        np.testing.assert_allclose(mean, one_by_one(rows, own, rates), rtol=1e-9, atol=1e-5)


def test_what_is_not_there_is_what_was_said_before() -> None:
    rows = np.array([[np.nan, np.nan], [1.0, np.nan], [np.nan, 2.0]])

    found = held(rows, np.isfinite(rows), np.array([7.0, np.nan]))

    np.testing.assert_array_equal(found, [[7.0, np.nan], [1.0, np.nan], [1.0, 2.0]])


def test_what_was_never_said_is_marked_and_begins_with_the_first_value() -> None:
    rows, unknown = first_known(np.array([[np.nan, np.nan], [5.0, np.nan]]))

    np.testing.assert_array_equal(rows, [[5.0, 0.0], [5.0, 0.0]])
    np.testing.assert_array_equal(unknown, [[True, True], [False, True]])


def test_rows_without_holes_stay_as_they_are() -> None:
    rows = np.ones((3, 2))

    assert first_known(rows)[0] is rows
    np.testing.assert_array_equal(held(rows, np.isfinite(rows), np.full(2, np.nan)), rows)
