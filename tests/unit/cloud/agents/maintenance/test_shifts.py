"""Working hours over midnight, weekends and the two nights on which clocks change."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fieldline_cloud.agents.maintenance.shifts import Shift, shift_windows, working_from_ns

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = frozenset(range(7))
H = 3_600 * 1_000_000_000
EARLY = Shift(frozenset(range(5)), 6 * 60, 14 * 60)
NIGHT = Shift(WEEK, 22 * 60, 6 * 60)


def at(text: str, fold: int = 0) -> int:
    """Berlin wall-clock time as Unix nanoseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("shift", "now", "expected"),
    [
        (EARLY, "2026-03-02T08:00", "2026-03-02T08:00"),  # a Monday, at work
        (EARLY, "2026-03-02T06:00", "2026-03-02T06:00"),  # the first moment belongs to the shift
        (EARLY, "2026-03-02T14:00", "2026-03-03T06:00"),  # the last one does not
        (EARLY, "2026-03-06T15:00", "2026-03-09T06:00"),  # Friday afternoon: Monday
        (NIGHT, "2026-03-02T23:30", "2026-03-02T23:30"),
        (NIGHT, "2026-03-03T05:59", "2026-03-03T05:59"),  # still last night's shift
        (NIGHT, "2026-03-03T06:00", "2026-03-03T22:00"),
        (Shift(frozenset({6}), 22 * 60, 6 * 60), "2026-03-02T05:00", "2026-03-02T05:00"),  # Sunday's, on Monday
        (Shift(frozenset({0}), 6 * 60, 6 * 60), "2026-03-03T05:00", "2026-03-03T05:00"),  # a whole day
        (Shift(frozenset({0}), 0, 24 * 60), "2026-03-03T00:00", "2026-03-09T00:00"),
    ],
)
def test_when_somebody_is_next_at_work(shift: Shift, now: str, expected: str) -> None:
    assert working_from_ns([shift], BERLIN, at(now)) == at(expected)


def test_nobody_works_without_shifts() -> None:
    assert working_from_ns([], BERLIN, at("2026-03-02T08:00")) is None


def test_of_several_shifts_the_nearest_counts() -> None:
    weekend = Shift(frozenset({5}), 9 * 60, 12 * 60)
    assert working_from_ns([EARLY, weekend], BERLIN, at("2026-03-06T20:00")) == at("2026-03-07T09:00")


def test_the_night_the_clocks_go_forward_is_an_hour_shorter() -> None:
    (window,) = [w for w in shift_windows([NIGHT], BERLIN, at("2026-03-28T23:00")) if w[0] == at("2026-03-28T22:00")]
    assert window[1] - window[0] == 7 * H
    assert window[1] == at("2026-03-29T06:00")


def test_the_night_the_clocks_go_back_is_an_hour_longer() -> None:
    (window,) = [w for w in shift_windows([NIGHT], BERLIN, at("2026-10-24T23:00")) if w[0] == at("2026-10-24T22:00")]
    assert window[1] - window[0] == 9 * H


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_shifts_that_meet_on_the_wall_meet_in_time(day: str) -> None:
    before, after = Shift(WEEK, 18 * 60, 150), Shift(WEEK, 150, 18 * 60)  # 02:30, which is skipped or comes twice
    start = at(f"{day}T00:00")
    for minute in range(0, 6 * 60, 5):
        moment = start + minute * 60 * 1_000_000_000
        present = [s for s in (before, after) if working_from_ns([s], BERLIN, moment) == moment]
        assert len(present) == 1


def test_a_start_that_is_skipped_begins_with_the_next_hour() -> None:
    shift = Shift(WEEK, 2 * 60 + 30, 8 * 60)
    assert working_from_ns([shift], BERLIN, at("2026-03-29T00:00")) == at("2026-03-29T03:30")
