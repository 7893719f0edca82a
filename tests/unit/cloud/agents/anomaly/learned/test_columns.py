"""Columns of many tags become flat arrays, and nothing that is no good value becomes a number."""

import numpy as np
import pytest

from fieldline.model import Quality, Reading
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.columns import Pending, is_number, series_of


def test_columns_come_out_row_by_row_in_the_order_they_came() -> None:
    pending = Pending()
    pending.add(1, Series("b", [1, 2], [1.0, 2.0]))
    pending.add(0, Series("a", [1], [5.0]))
    pending.add(1, Series("b", [3], [3.0]))
    raw = pending.take()
    assert raw.rows.tolist() == [0, 1, 1, 1]
    assert raw.at_ns.tolist() == [1, 1, 2, 3]
    assert raw.values.tolist() == [5.0, 1.0, 2.0, 3.0]
    assert len(pending) == 0


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.UNCERTAIN_STALE, Quality.UNCERTAIN_CLAMPED])
def test_a_value_that_cannot_be_trusted_is_no_number(quality: Quality) -> None:
    pending = Pending()
    pending.add(0, Series("a", [1, 2], [1.0, 2.0], [Quality.GOOD, quality]))
    np.testing.assert_equal(pending.take().values, [1.0, np.nan])


def test_none_text_and_numbers_beyond_any_float_are_no_numbers() -> None:
    pending = Pending()
    pending.add(0, Series("a", [1, 2, 3, 4], [None, "text", 10**400, 7]))
    np.testing.assert_equal(pending.take().values, [np.nan, np.nan, np.nan, 7.0])


def test_a_moment_that_fits_no_64_bits_is_kept_as_one_that_is_not_judged() -> None:
    pending = Pending()
    pending.add(0, Series("a", [1 << 70, -(1 << 70)], [1.0, 2.0]))
    raw = pending.take()
    assert raw.at_ns[0] > 1 << 62
    assert raw.at_ns[1] < 0


def test_readings_become_one_series_a_tag() -> None:
    readings = [Reading("a", 1, 1.0), Reading("b", 1, True), Reading("a", 2, 2.0, Quality.BAD)]
    first, second = series_of(readings)
    assert (first.tag, first.values, first.qualities) == ("a", [1.0, 2.0], [Quality.GOOD, Quality.BAD])
    assert is_number(first.values)
    assert not is_number(second.values)


def test_moments_that_series_share_and_such_as_they_do_not_end_up_where_they_belong() -> None:
    shared, pending = [1, 2], Pending()
    pending.extend((3, 1), (shared, shared), ([1.0, 2.0], [3.0, 4.0]))
    pending.add(2, Series("c", [9], [5.0]))
    pending.extend((1,), (shared,), ([6.0, 7.0],))
    raw = pending.take()
    assert raw.rows.tolist() == [1, 1, 1, 1, 2, 3, 3]
    assert raw.at_ns.tolist() == [1, 2, 1, 2, 9, 1, 2]
    assert raw.values.tolist() == [3.0, 4.0, 6.0, 7.0, 5.0, 1.0, 2.0]
    assert len(pending.take()) == 0
