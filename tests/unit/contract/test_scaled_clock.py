"""A clock that runs at another speed than the wall."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fieldline.scaled_clock import ClockText, ScaledClock

NOW_NS = 1_767_571_200_000_000_000
MOMENTS = st.integers(0, 1 << 61)
CLOCKS = st.builds(ScaledClock, MOMENTS, MOMENTS, st.floats(0.001, 1e6))


def test_an_hour_passes_in_a_second() -> None:
    clock = ScaledClock(NOW_NS, 5, 3600.0)

    assert clock.at(NOW_NS) == 5
    assert clock.at(NOW_NS + 1_000_000_000) == 5 + 3600 * 1_000_000_000
    assert clock.wall_at(5 + 3600 * 1_000_000_000) == NOW_NS + 1_000_000_000


@given(CLOCKS)
def test_a_clock_written_down_is_the_same_when_read(clock: ScaledClock) -> None:
    assert ScaledClock.parse(str(clock)) == clock


@given(CLOCKS, MOMENTS, MOMENTS)
def test_it_never_runs_backwards(clock: ScaledClock, one: int, other: int) -> None:
    first, last = sorted((one, other))

    assert clock.at(first) <= clock.at(last)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no clock"),
        ("1,2", "is no clock"),
        ("1,2,3,4", "is no clock"),
        ("now,2,3", "is no clock"),
        ("1,2,0", "scale"),
        ("1,2,nan", "scale"),
        ("1,2,1e9", "scale"),
        ("-1,2,3", "wall time"),
        (f"1,{1 << 63},3", "plant time"),
    ],
)
def test_what_is_no_clock_is_refused_with_the_cure(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScaledClock.parse(text)


def test_a_setting_may_name_a_clock_or_none_and_nothing_else() -> None:
    setting = TypeAdapter(ClockText)

    assert setting.validate_python("") == ""
    assert setting.validate_python("1,2,3") == "1,2,3"
    with pytest.raises(ValidationError, match="is no clock"):
        setting.validate_python("soon")
