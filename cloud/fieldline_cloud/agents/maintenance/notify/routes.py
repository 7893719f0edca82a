"""Who is told of a notice, through which channels, and from when on. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import Notice, NoticeKind
from fieldline_cloud.agents.maintenance.shifts import EPOCH, Shift, spans_of

__all__ = ["Person", "Route", "Routing"]

_FOR_SUPERVISOR: Final = (NoticeKind.ESCALATED, NoticeKind.UNPLANNED, NoticeKind.REOPENED)
_EVERY_DAY: Final = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Route:
    """Channels that hear of notices for which everything holds that is named here; empty: does not matter."""

    channels: tuple[str, ...]
    kinds: frozenset[NoticeKind] = frozenset()
    severity: Severity = Severity.INFO
    skills: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    technicians: frozenset[str] = frozenset()

    def takes(self, notice: Notice) -> bool:
        """Whether this route is for it."""
        task = notice.task
        return (
            task.severity >= self.severity
            and (not self.kinds or notice.kind in self.kinds)
            and (not self.skills or bool(self.skills & {task.skill, *task.skills}))
            and (not self.areas or f"{task.device.site}/{task.device.area}" in self.areas)
            and (not self.technicians or notice.technician in self.technicians)
        )


@dataclass(frozen=True, slots=True)
class Person:
    """How a technician is told, and the hours (minutes since midnight) in which only critical tasks break through."""

    channels: tuple[str, ...]
    quiet: tuple[int, int] | None = None


class Routing:
    """All routes, people and the supervisor of a plant."""

    def __init__(
        self, routes: Iterable[Route], people: Mapping[str, Person], supervisor: Iterable[str], zone: tzinfo
    ) -> None:
        self._routes = tuple(routes)
        self._people = people
        self._supervisor = tuple(supervisor)
        self._zone = zone

    def channels(self, notice: Notice) -> dict[str, int]:
        """From when on (Unix nanoseconds) the notice may be said, by channel.

        A technician's own channels keep quiet hours, unless the task is critical or another route names them too.
        """
        found: dict[str, int] = {}
        if notice.kind in _FOR_SUPERVISOR:
            found = dict.fromkeys(self._supervisor, notice.at_ns)
        elif notice.technician in self._people:
            person = self._people[notice.technician]
            found = dict.fromkeys(person.channels, self._allowed_ns(person, notice))
        for route in self._routes:
            if route.takes(notice):
                found |= dict.fromkeys(route.channels, notice.at_ns)
        return found

    def _allowed_ns(self, person: Person, notice: Notice) -> int:
        if person.quiet is None or notice.task.severity is Severity.CRITICAL:
            return notice.at_ns
        quiet = Shift(_EVERY_DAY, *person.quiet)
        for start_ns, end_ns in spans_of([quiet], self._zone, notice.at_ns, 2):
            if start_ns <= notice.at_ns < end_ns:
                return end_ns
        return notice.at_ns

    def local(self, at_ns: int) -> str:
        """A moment by the clock on the wall, for people."""
        moment = EPOCH + timedelta(microseconds=at_ns // 1_000)
        return datetime.strftime(moment.astimezone(self._zone), "%a %d %b %H:%M")
