"""What people are told of a task, and when a change is worth telling. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fieldline.model import Severity, Task, TaskState
from fieldline_cloud.agents.maintenance.work import Work

__all__ = ["Notice", "NoticeKind", "notices_of"]

_MOVED_NS: Final = 15 * 60 * 1_000_000_000
"""A slot that moves by less is no news."""
_TOLD: Final = frozenset(
    {
        TaskState.ASSIGNED,
        TaskState.ACCEPTED,
        TaskState.TRAVELLING,
        TaskState.IN_PROGRESS,
        TaskState.WAITING_FOR_PARTS,
    }
)


class NoticeKind(StrEnum):
    """Why somebody is told."""

    ASSIGNED = "assigned"  # to the technician: this is yours
    MOVED = "moved"  # to the technician: at another time
    WITHDRAWN = "withdrawn"  # to the technician: no longer yours
    REMINDED = "reminded"  # to the technician: you have not accepted
    ESCALATED = "escalated"  # to the supervisor: nobody has accepted
    UNPLANNED = "unplanned"  # to the supervisor: nobody can do it
    REOPENED = "reopened"  # to the supervisor: it was not mended
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `technician` is whom it is for or, with the supervisor's kinds, whom it is about."""

    kind: NoticeKind
    task: Task
    technician: str
    at_ns: int
    round: int = 0
    """How many steps of escalation, or repetitions, came before it."""

    @property
    def key(self) -> str:
        """The same for the same notice, also after a crash."""
        return f"{self.task.id}:{self.task.revision}:{self.kind.value}:{self.technician}:{self.round}"


def notices_of(before: Work | None, after: Work, now_ns: int) -> list[Notice]:
    """What a change of a work is worth telling."""
    old, new = before.task if before else None, after.task
    told = [Notice(kind, new, name, now_ns) for kind, name in _for_technicians(old, new)]
    kind = _for_supervisor(old, new, after)
    return told if kind is None else [*told, Notice(kind, new, new.technician, now_ns)]


def _for_technicians(old: Task | None, new: Task) -> list[tuple[NoticeKind, str]]:
    knew = old.technician if old is not None and old.state in _TOLD else ""
    knows = new.technician if new.state in _TOLD else ""
    found = []
    if knew and knew != new.technician and not (new.state in (TaskState.REJECTED,) and new.by == knew):
        found.append((NoticeKind.WITHDRAWN, knew))
    if knows and knows != knew and new.by != knows:
        found.append((NoticeKind.ASSIGNED, knows))
    elif knows and old is not None and abs(old.planned_start_ns - new.planned_start_ns) > _MOVED_NS:
        found.append((NoticeKind.MOVED, knows))
    if knew and new.state is TaskState.CANCELLED and knew == new.technician:
        found.append((NoticeKind.WITHDRAWN, knew))
    return found


def _for_supervisor(old: Task | None, new: Task, after: Work) -> NoticeKind | None:
    if old is not None and old.state is TaskState.DONE and new.state not in (TaskState.DONE, TaskState.VERIFIED):
        return NoticeKind.REOPENED
    is_stuck = new.state is TaskState.OPEN and not after.held_by and new.severity > Severity.INFO
    was_stuck = old is not None and old.state is TaskState.OPEN and old.reason == new.reason
    return NoticeKind.UNPLANNED if is_stuck and not was_stuck else None
