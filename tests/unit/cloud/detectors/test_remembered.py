"""Rows spread evenly over all that was seen."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.detectors.remembered import Remembered


def filled(count: int, *, cuts: tuple[int, ...] = (), rows_max: int = 16, stride_max: int = 4) -> Remembered:
    """Rows that say their own number, and sizes that do; every tenth size is ten times as large."""
    memory = Remembered(2, 1, rows_max, stride_max)
    at = np.arange(1, count + 1)
    rows = np.stack([at, -at], axis=1).astype(np.float64)
    sizes = np.where(at % 10 == 0, 10.0 * at, at)[:, None].astype(np.float64)
    for begin, end in pairwise(sorted({0, count, *(cut for cut in cuts if cut < count)})):
        memory.add(at[begin:end], rows[begin:end], sizes[begin:end])
    return memory


@given(count=st.integers(1, 400), rows_max=st.integers(2, 17))
def test_they_are_bounded_evenly_spread_and_in_order(count: int, rows_max: int) -> None:
    memory = filled(count, rows_max=rows_max)

    rows, _ = memory.until(count)

    times = np.array(memory.snapshot()["times"])
    assert 1 <= len(memory) <= rows_max
    assert len(set(np.diff(times).tolist())) <= 1
    np.testing.assert_array_equal(rows[:, 0], times)
    np.testing.assert_array_equal(rows[:, 1], -times)


@given(count=st.integers(1, 60), cuts=st.lists(st.integers(1, 60), max_size=4))
def test_batches_do_not_matter(count: int, cuts: list[int]) -> None:
    assert filled(count, cuts=tuple(cuts)).snapshot() == filled(count).snapshot()


@given(count=st.integers(1, 64))
def test_no_large_size_is_lost_while_rows_make_room(count: int) -> None:
    memory = filled(count)

    _, largest = memory.until(count)

    snapshot = memory.snapshot()
    told = [size for size in largest[:, 0].tolist() if size == size]
    expected = max(10 * number if number % 10 == 0 else number for number in range(1, snapshot["times"][-1] + 1))
    assert max(told) == expected


def test_then_the_oldest_goes() -> None:
    memory = filled(1_000, rows_max=16, stride_max=4)

    assert np.array(memory.snapshot()["times"]).tolist() == list(range(937, 1_000, 4))


def test_what_hardly_moves_keeps_its_digits() -> None:
    memory = Remembered(1, 1, 8, 8)
    rows = 1e9 + 0.001 * np.arange(5.0)[:, None]

    memory.add(np.arange(5), rows, np.full((5, 1), np.nan))

    np.testing.assert_allclose(memory.until(9)[0] - 1e9, rows - 1e9, atol=1e-6)


def test_it_goes_on_elsewhere_and_refuses_what_is_none_of_its_own() -> None:
    one, other = filled(70), Remembered(2, 1, 16, 4)
    snapshot = json.loads(json.dumps(one.snapshot()))

    other.restore(snapshot)

    assert other.snapshot() == snapshot
    with pytest.raises((KeyError, ValueError)):
        other.restore({**snapshot, "rows": snapshot["rows"][:-8]})
    with pytest.raises(ValueError, match="rows, one in"):
        other.restore({**snapshot, "counts": [10, 0]})
    assert other.snapshot() == snapshot
