"""A small workshop for tests: people with shifts, a pump that alerts, and a book to write it in."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from fieldline.config import loads
from fieldline.model import Alert, AlertState, DeviceId, Severity, Task
from fieldline_cloud.agents.maintenance.book import Book, Changes, Known
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from fieldline_cloud.agents.maintenance.work import Work
from tests.unit.cloud.agents.doubles import PUMP

MINUTE = 60 * 1_000_000_000
H = 60 * MINUTE
DAY = 24 * H
MONDAY_8 = int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()) * 1_000_000_000

WEEK = "days: [mon, tue, wed, thu, fri]"
AMIRA = "  - {name: Amira, skills: [bearings, inspection], shift: {" + WEEK + ", start: '06:00', end: '14:00'}}\n"
LUCA = "  - {name: Luca, skills: [bearings, inspection], shift: {" + WEEK + ", start: '14:00', end: '22:00'}}\n"
ZOE = "  - {name: Zoe, skills: [bearings, inspection], shift: {" + WEEK + ", start: '06:00', end: '14:00'}}\n"
JONAS = "  - {name: Jonas, skills: [electrical, inspection], shift: {" + WEEK + ", start: '06:00', end: '14:00'}}\n"
TEMPLATES = """
templates:
  bearing_wear: {title: "Check {device}", instructions: "{message}!", skill: bearings, work_min: 60}
  no_data: {title: "Look at {device}", skill: inspection, work_min: 30}
"""


def configured(people: str = AMIRA + LUCA + JONAS, more: str = TEMPLATES) -> MaintenanceSettings:
    return loads("kind: maintenance\ntechnicians:\n" + people + more, MaintenanceSettings, name="m.yaml")


def alert(
    rule: str = "range_hi",
    severity: Severity = Severity.WARNING,
    *,
    raised_at_ns: int = MONDAY_8,
    cause: str = "bearing_wear",
    device: DeviceId = PUMP,
    tag: str = "vibration",
) -> Alert:
    return Alert(device, tag, rule, cause, severity, AlertState.RAISED, raised_at_ns, "too high")


def pump(number: int, area: str = "hall-a") -> DeviceId:
    return DeviceId("demo", area, f"pump-{number}")


def cleared(raised: Alert) -> Alert:
    return replace(raised, state=AlertState.CLEARED, cleared_at_ns=raised.raised_at_ns + H)


def aside(raised: Alert, state: AlertState = AlertState.SUPPRESSED, at_ns: int = MONDAY_8 + H) -> Alert:
    until_ns = at_ns + H if state is AlertState.SHELVED else 0
    return replace(raised, state=state, changed_at_ns=at_ns, until_ns=until_ns)


@dataclass
class Workshop:
    """A book, its settings, and everything that has changed in it so far."""

    settings: MaintenanceSettings
    book: Book
    now_ns: int = MONDAY_8
    changes: Changes = field(default_factory=Changes)

    def take(self, *alerts: Alert) -> None:
        for each in alerts:
            self.book.take(each, self.changes, self.now_ns)

    @property
    def tasks(self) -> list[Task]:
        return [work.task for work in self.book.works.values()]

    @property
    def task(self) -> Task:
        (task,) = self.tasks
        return task

    @property
    def work(self) -> Work:
        (work,) = self.book.works.values()
        return work

    @property
    def revisions(self) -> list[Task]:
        return [work.task for work in self.changes.revisions]

    def told(self) -> list[tuple[str, str]]:
        return [(notice.kind.value, notice.technician) for notice in self.changes.notices]


def workshop(
    settings: MaintenanceSettings | None = None, *, works: Iterable[Work] = (), open_tasks_max: int = 1_000
) -> Workshop:
    settings = settings or configured()
    book = Book(
        settings.rules(),
        settings.planboard(),
        settings.inhibition(),
        open_tasks_max=open_tasks_max,
        known=Known(works=list(works)),
    )
    return Workshop(settings, book)
