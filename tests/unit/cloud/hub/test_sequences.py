"""Judging numbered frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.hub.core.sequences import Verdict, judge

NEW, DUPLICATE, GAP = Verdict.NEW, Verdict.DUPLICATE, Verdict.GAP


@pytest.mark.parametrize(
    ("last", "sequence", "skipped", "verdict"),
    [
        (None, 1, 0, NEW),
        (None, 5000, 0, NEW),
        (0, 1, 0, NEW),
        (0, 2, 0, GAP),
        (7, 8, 0, NEW),
        (7, 7, 0, DUPLICATE),
        (7, 1, 0, DUPLICATE),
        (7, 9, 0, GAP),
        (7, 9, 1, NEW),
        (7, 12, 4, NEW),
        (7, 12, 3, GAP),
        (7, 12, 9, NEW),  # dropped at the producer, although some had been stored here
        (7, 7, 3, DUPLICATE),
    ],
)
def test_a_frame_is_new_seen_or_too_early(last: int | None, sequence: int, skipped: int, verdict: Verdict) -> None:
    assert judge(last, sequence, skipped) is verdict


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=60))
def test_whatever_order_frames_come_in_each_is_stored_once_and_no_gap_stays(arrivals: list[tuple[int, int]]) -> None:
    last, stored = 0, []
    for sequence, skipped in arrivals:
        skipped = min(skipped, sequence - 1)
        if judge(last, sequence, skipped) is NEW:
            stored.append((sequence, skipped))
            last = sequence
    numbers = [sequence for sequence, _ in stored]
    assert numbers == sorted(set(numbers))
    for (before, _), (after, skipped) in zip([(0, 0), *stored], stored, strict=False):
        assert after - before - 1 <= skipped
