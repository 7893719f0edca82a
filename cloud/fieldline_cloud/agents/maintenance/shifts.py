"""When people work. Pure; shifts are local wall-clock times, everything else is Unix time in nanoseconds.

Daylight saving: a shift begins and ends when the clock on the wall says so, the first time it says so where
an hour comes twice. An hour that is skipped makes the shift shorter, one that comes twice makes it longer,
and shifts that meet on the wall meet in time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

__all__ = ["EPOCH", "MINUTES_PER_DAY", "Shift", "shift_windows", "spans_of", "without", "working_from_ns"]

MINUTES_PER_DAY: Final = 24 * 60
_DAYS_AHEAD: Final = 8
"""A weekly pattern shows every shift within a week; one day more covers those that began the day before."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where Unix time begins."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Working hours on some days of the week (0 is Monday), in minutes since midnight.

    An end at or before the start lies on the next day: 22:00 to 06:00 crosses midnight, 06:00 to 06:00 is a
    whole day.
    """

    days: frozenset[int]
    start_minute: int
    end_minute: int


def shift_windows(
    shifts: Sequence[Shift], zone: tzinfo, from_ns: int, days: int = _DAYS_AHEAD
) -> Iterator[tuple[int, int]]:
    """Start and end of every shift that ends after `from_ns` and begins within `days` of it, in no set order."""
    today = (EPOCH + timedelta(microseconds=from_ns // 1_000)).astimezone(zone).date()
    for shift in shifts:
        length = (shift.end_minute - shift.start_minute) % MINUTES_PER_DAY or MINUTES_PER_DAY
        for offset in range(-1, days):
            day = today + timedelta(days=offset)
            if day.weekday() not in shift.days:
                continue
            start_ns = _wall_ns(day, shift.start_minute, zone)
            end_ns = _wall_ns(day, shift.start_minute + length, zone)
            if start_ns < end_ns and end_ns > from_ns:
                yield start_ns, end_ns


def spans_of(shifts: Sequence[Shift], zone: tzinfo, from_ns: int, days: int) -> list[tuple[int, int]]:
    """Like `shift_windows`, in order, and those that touch or overlap joined into one."""
    joined: list[tuple[int, int]] = []
    for start_ns, end_ns in sorted(shift_windows(shifts, zone, from_ns, days)):
        if joined and start_ns <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end_ns)
        else:
            joined.append((start_ns, end_ns))
    return joined


def without(spans: Sequence[tuple[int, int]], gaps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of `spans` when `gaps` are cut out of them."""
    left = list(spans)
    for gap_start, gap_end in gaps:
        pieces = [piece for start, end in left for piece in ((start, min(end, gap_start)), (max(start, gap_end), end))]
        left = [(start, end) for start, end in pieces if start < end]
    return sorted(set(left))


def working_from_ns(shifts: Sequence[Shift], zone: tzinfo, now_ns: int) -> int | None:
    """The first moment from `now_ns` on at which these shifts have somebody at work; None if never."""
    return min((max(start_ns, now_ns) for start_ns, _ in shift_windows(shifts, zone, now_ns)), default=None)


def _wall_ns(day: date, minute: int, zone: tzinfo) -> int:
    """When the clock on the wall shows `minute` of `day`; minutes past 24 hours are the next day's."""
    days, minute = divmod(minute, MINUTES_PER_DAY)
    day += timedelta(days=days)
    moment = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000
