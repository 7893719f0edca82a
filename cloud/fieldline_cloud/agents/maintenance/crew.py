"""Who is there to do the work, and when: skills, shifts, days off and absences of the technicians. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from fieldline_cloud.agents.maintenance.shifts import EPOCH, Shift, spans_of, without, working_from_ns

__all__ = ["Absence", "Crew", "DaysOff", "Technician"]

_CACHED_NS: Final = 3_600 * 1_000_000_000
"""Shifts of the days ahead are worked out anew every so often; a plan looks days ahead, so an hour is fine."""


@dataclass(frozen=True, slots=True)
class DaysOff:
    """From the first day to the last, both included, by the calendar on the wall."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody said that this technician is away from one moment to another. Unix nanoseconds."""

    technician: str
    from_ns: int
    to_ns: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Technician:
    """Somebody who can be given work."""

    name: str
    skills: frozenset[str]
    shifts: tuple[Shift, ...]
    days_off: tuple[DaysOff, ...] = ()
    home: str = ""
    """Where the shift begins and ends, as the travel table calls it; empty: no way to go."""


class Crew:
    """The technicians of a plant, and the time zone their shifts are written in."""

    def __init__(self, technicians: Iterable[Technician], zone: tzinfo) -> None:
        self.technicians: Mapping[str, Technician] = {each.name: each for each in technicians}
        self.zone = zone
        self._cache: dict[tuple[str, int, int], list[tuple[int, int]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.technicians

    def with_skills(self, skills: Iterable[str]) -> list[Technician]:
        """Those who have all of them, by name."""
        wanted = frozenset(skills)
        return sorted((one for one in self.technicians.values() if wanted <= one.skills), key=lambda one: one.name)

    def working_from_ns(self, name: str, now_ns: int) -> int | None:
        """The first moment from `now_ns` on at which this technician is on shift, absences aside; None if never."""
        technician = self.technicians.get(name)
        return None if technician is None else working_from_ns(technician.shifts, self.zone, now_ns)

    def hours(self, name: str, absences: Sequence[Absence], now_ns: int, days: int) -> list[tuple[int, int]]:
        """When this technician works in the days ahead: (start, end) in Unix nanoseconds, in order, none touching."""
        technician = self.technicians[name]
        away = [(one.from_ns, one.to_ns) for one in absences if one.technician == name]
        return without(self._shifts(technician, now_ns, days), away) if away else self._shifts(technician, now_ns, days)

    def _shifts(self, technician: Technician, now_ns: int, days: int) -> list[tuple[int, int]]:
        hour = now_ns // _CACHED_NS
        key = (technician.name, hour, days)
        if key not in self._cache:
            if any(known[1] != hour for known in self._cache):
                self._cache.clear()
            spans = spans_of(technician.shifts, self.zone, hour * _CACHED_NS, days)
            self._cache[key] = without(spans, [self._off_ns(off) for off in technician.days_off])
        return self._cache[key]

    def _off_ns(self, off: DaysOff) -> tuple[int, int]:
        return self._midnight_ns(off.first), self._midnight_ns(off.last + timedelta(days=1))

    def _midnight_ns(self, day: date) -> int:
        moment = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return (moment - EPOCH) // timedelta(microseconds=1) * 1_000
