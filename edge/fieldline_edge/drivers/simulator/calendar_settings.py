"""Shifts, breaks, holidays and seasons, as the plant file says them. Pure."""

import re
from datetime import date
from typing import Annotated, Literal

import pydantic

from fieldline.config import Settings
from fieldline_edge.drivers.simulator.calendar import Break, Calendar, Seasons, Shift

__all__ = ["CalendarSettings", "SeasonSettings"]

_Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[_Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _check_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f'{text!r} is no time of day; write it like "06:00"')
    return text


def _check_date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{text!r} is no date; write it like "2026-12-25"') from None
    return text


_Time = Annotated[str, pydantic.AfterValidator(_check_time)]
_Date = Annotated[str, pydantic.AfterValidator(_check_date)]
_Load = Annotated[float, pydantic.Field(ge=0, le=1.5)]


def _seconds(text: str) -> int:
    return int(text[:2]) * 3600 + int(text[3:]) * 60


class ShiftSettings(Settings):
    """One shift of a week."""

    days: tuple[_Day, ...] = ("mon", "tue", "wed", "thu", "fri")
    """Days of the week it begins on."""
    start: _Time = "06:00"
    """When it begins, in plant time."""
    end: _Time = "14:00"
    """When it ends; before `start`: on the next morning; equal to `start`: after 24 hours."""
    load: _Load = 1.0
    """What is asked of the machine, as a share of its own `load`."""


class BreakSettings(Settings):
    """One break of every shift day."""

    start: _Time
    """When it begins, in plant time."""
    minutes: int = pydantic.Field(default=30, ge=1, le=1440)
    """How long it takes."""
    load: _Load = 0.2
    """The share of the shift's load that goes on."""


class CalendarSettings(Settings):
    """When the machines that name this calendar work."""

    shifts: tuple[ShiftSettings, ...] = pydantic.Field(min_length=1)
    """The shifts of a week; where two overlap, the greater load counts."""
    breaks: tuple[BreakSettings, ...] = ()
    """Breaks of every shift day."""
    holidays: tuple[_Date, ...] = ()
    """Days without shifts."""
    off_load: _Load = 0.0
    """The share of the load outside of shifts; 0 stops the motors."""

    @property
    def calendar(self) -> Calendar:
        """The same as the simulator computes with it."""
        return Calendar(
            shifts=tuple(
                Shift(frozenset(map(_DAYS.index, each.days)), _seconds(each.start), _seconds(each.end), each.load)
                for each in self.shifts
            ),
            breaks=tuple(Break(_seconds(each.start), 60 * each.minutes, each.load) for each in self.breaks),
            holidays=frozenset(self.holidays),
            off_load=self.off_load,
        )


class SeasonSettings(Settings):
    """How the air around the machines warms and cools, on top of each machine's `ambient_c`."""

    year_c: float = pydantic.Field(default=8.0, ge=0, le=40)
    """How far the warmest day of the year is above the mean, in degrees."""
    day_c: float = pydantic.Field(default=3.0, ge=0, le=30)
    """How far the warmest hour of the day is above the mean of that day, in degrees."""
    warmest_day: int = pydantic.Field(default=200, ge=1, le=366)
    """The warmest day of the year; 20 on the southern half of the earth."""
    warmest_hour: float = pydantic.Field(default=15.0, ge=0, lt=24)
    """The warmest hour of the day."""

    @property
    def seasons(self) -> Seasons:
        """The same as the simulator computes with it."""
        return Seasons(self.year_c, self.day_c, self.warmest_day, self.warmest_hour)
