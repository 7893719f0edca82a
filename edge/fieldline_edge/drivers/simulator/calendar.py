"""When a plant works and how warm it is: shifts, breaks, holidays, seasons. Pure functions of plant time.

Plant time is local and has no summer time: a second of the run is a second of the calendar.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import cos, pi

__all__ = ["Break", "Calendar", "Seasons", "Shift"]

DAY_S = 86_400
_YEAR_DAYS = 365.2425


@dataclass(frozen=True, slots=True)
class Break:
    """A pause of every shift day, from a second of the day on; `load` is the share of the load that goes on."""

    start_s: int
    length_s: int
    load: float


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift: its days of the week (0 is Monday), from and to in seconds of the day, and its share of the load.

    `end_s` before `start_s`: it goes on into the next morning, and belongs to the day it begins on.
    """

    days: frozenset[int]
    start_s: int
    end_s: int
    load: float


@dataclass(frozen=True, slots=True)
class Calendar:
    """Shifts, breaks and holidays (as ISO dates); `off_load` is the share of the load outside of shifts."""

    shifts: tuple[Shift, ...]
    breaks: tuple[Break, ...] = ()
    holidays: Collection[str] = frozenset()
    off_load: float = 0.0

    def load_at(self, now_s: float) -> float:
        """The share of the load at `now_s`, in seconds of Unix time: the greatest of the shifts on duty."""
        today = datetime.fromtimestamp(now_s, UTC)
        second = today.hour * 3600 + today.minute * 60 + today.second
        load = max((shift.load for shift in self.shifts if self._on(shift, today, second)), default=None)
        if load is None:
            return self.off_load
        for each in self.breaks:
            if (second - each.start_s) % DAY_S < each.length_s:
                return load * each.load
        return load

    def _on(self, shift: Shift, today: datetime, second: int) -> bool:
        if shift.start_s < shift.end_s:
            return shift.start_s <= second < shift.end_s and self._works(shift, today)
        if second >= shift.start_s:
            return self._works(shift, today)
        return second < shift.end_s and self._works(shift, today - timedelta(days=1))

    def _works(self, shift: Shift, day: datetime) -> bool:
        return day.weekday() in shift.days and day.date().isoformat() not in self.holidays


@dataclass(frozen=True, slots=True)
class Seasons:
    """How far the air is from its mean: a wave over the year and one over the day, in degrees each way."""

    year_c: float
    day_c: float
    warmest_day: int = 200
    warmest_hour: float = 15.0

    def warmer_at(self, now_s: float) -> float:
        """The difference to the mean at `now_s`, in seconds of Unix time."""
        now = datetime.fromtimestamp(now_s, UTC)
        hours = now.hour + now.minute / 60.0 + now.second / 3600.0
        days = now.timetuple().tm_yday - 1 + hours / 24.0
        year = self.year_c * cos(2.0 * pi * (days - self.warmest_day) / _YEAR_DAYS)
        return year + self.day_c * cos(2.0 * pi * (hours - self.warmest_hour) / 24.0)
