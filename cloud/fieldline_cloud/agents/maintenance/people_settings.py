"""Settings of the people: who can do what, when they work, where they begin, how they are told."""

import re
from datetime import UTC, date, tzinfo
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from fieldline.config import Settings
from fieldline.topics import check_name
from fieldline_cloud.agents.maintenance.crew import DaysOff, Technician
from fieldline_cloud.agents.maintenance.shifts import MINUTES_PER_DAY, Shift

__all__ = ["DaysOffSettings", "Minute", "ShiftSettings", "TechnicianSettings", "WallTime", "zone_of"]

DayName = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: Final[tuple[DayName, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])\Z")
_TOKEN_CHARACTERS_MIN: Final = 16


def _minute(value: Any) -> int:
    """Minutes since midnight. YAML reads an unquoted 14:00 as the number 840, which is the same."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_PER_DAY:
        return value
    found = _TIME.match(value) if isinstance(value, str) else None
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minute <= MINUTES_PER_DAY:
        raise ValueError(f"{value!r} is not a time of day; write it like '06:00', from '00:00' to '24:00'")
    return minute


def _day(value: Any) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{value!r} is not a day; write it like 2026-12-24") from error


Minute = Annotated[int, BeforeValidator(_minute, json_schema_input_type=str | int)]
Day = Annotated[date, BeforeValidator(_day, json_schema_input_type=str)]


class WallTime(Settings):
    """From one time of day to another, by the clock on the wall."""

    start: Minute
    """When it begins, such as '22:00'."""
    end: Minute
    """When it ends; at or before the start means on the next day."""


class ShiftSettings(WallTime):
    """Hours on some days of the week, by the clock on the wall."""

    days: Annotated[list[DayName], Field(min_length=1)] = Field(default_factory=lambda: list(_DAYS))
    """Days on which they begin."""

    def build(self) -> Shift:
        """The shift these settings describe."""
        return Shift(frozenset(map(_DAYS.index, self.days)), self.start, self.end)


class DaysOffSettings(Settings):
    """Days without work, both included."""

    first: Day
    """The first day off, such as 2026-12-24."""
    last: Day | None = None
    """The last day off; left out: one day only."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last {self.last} is before first {self.first}; swap them")
        return self

    def build(self) -> DaysOff:
        """The days off these settings describe."""
        return DaysOff(self.first, self.last or self.first)


class TechnicianSettings(Settings):
    """Somebody who can be given work."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name, as on the task."""
    skills: Annotated[list[str], Field(min_length=1)]
    """What this person can do."""
    shift: ShiftSettings | None = None
    """Working hours, where one line says it all."""
    shifts: list[ShiftSettings] = Field(default_factory=list)
    """Working hours, where they differ between days."""
    days_off: list[DaysOffSettings] = Field(default_factory=list)
    """Holidays and other days without work."""
    home: Annotated[str, Field(max_length=64)] = ""
    """Where the shift begins and ends, as the travel table calls it; left out: wherever the work is."""
    notify: list[str] = Field(default_factory=list)
    """Channels this person is told through, by their names under notify.channels."""
    quiet: WallTime | None = None
    """Hours in which this person is told of nothing but critical tasks."""
    calendar_token: SecretStr | None = None
    """Secret of this person's calendar feed, 16 characters or more. Write `${AMIRA_CALENDAR}`, not the secret."""

    @field_validator("skills")
    @classmethod
    def _skills_are_names(cls, skills: list[str]) -> list[str]:
        return [check_name(skill, "skill") for skill in skills]

    @field_validator("calendar_token")
    @classmethod
    def _token_is_long(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < _TOKEN_CHARACTERS_MIN:
            raise ValueError(f"has fewer than {_TOKEN_CHARACTERS_MIN} characters; make one with: openssl rand -hex 16")
        return token

    @model_validator(mode="after")
    def _has_a_shift(self) -> Self:
        if not self.shift and not self.shifts:
            raise ValueError(f"{self.name} has no shift; add shift: or shifts:, or take the entry out")
        return self

    def build(self) -> Technician:
        """The technician these settings describe."""
        shifts = [*([self.shift] if self.shift else []), *self.shifts]
        return Technician(
            self.name,
            frozenset(self.skills),
            tuple(shift.build() for shift in shifts),
            tuple(off.build() for off in self.days_off),
            self.home,
        )


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; ValueError where the machine does not know it."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a time zone this machine knows; write it like Europe/Berlin, "
            "and if that fails run: pip install tzdata"
        ) from error
