"""Exponential means of a batch are those that one row after the other gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fieldline_cloud.detectors.trailing import first_known, held, trailing

ROWS = arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.floats(-1e6, 1e6))


@given(rows=ROWS, begin=st.floats(-1e3, 1e3) | st.just(np.nan), data=st.data())
def test_a_batch_is_what_its_rows_are_one_by_one(rows: np.ndarray, begin: float, data: st.DataObject) -> None:
    rates = data.draw(arrays(np.float64, len(rows), elements=st.floats(0.0, 1.0)))
    mean = np.full(2, begin)

    found = trailing(rows, mean, rates)

    for row, rate, each in zip(rows, rates, found, strict=True):
        mean = row if np.isnan(mean).all() else mean + rate * (row - mean)
        np.testing.assert_allclose(each, mean, rtol=1e-9, atol=1e-5)


def test_what_is_not_there_is_what_was_said_before() -> None:
    rows = np.array([[np.nan, np.nan], [1.0, np.nan], [np.nan, 2.0]])

    found = held(rows, np.array([7.0, np.nan]))

    np.testing.assert_array_equal(found, [[7.0, np.nan], [1.0, np.nan], [1.0, 2.0]])


def test_what_was_never_said_is_marked_and_begins_with_the_first_value() -> None:
    rows, unknown = first_known(np.array([[np.nan, np.nan], [5.0, np.nan]]))

    np.testing.assert_array_equal(rows, [[5.0, 0.0], [5.0, 0.0]])
    np.testing.assert_array_equal(unknown, [[True, True], [False, True]])


@pytest.mark.parametrize("rows", [np.ones((3, 2)), np.zeros((1, 1))])
def test_rows_without_holes_stay_as_they_are(rows: np.ndarray) -> None:
    assert held(rows, np.full(rows.shape[1], np.nan)) is rows
    assert first_known(rows)[0] is rows
