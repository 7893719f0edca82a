"""A task together with what only the agent needs to know of it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from fieldline.model import Task, TaskState
from fieldline_cloud.agents.maintenance.lifecycle import Move, step

__all__ = ["NOT_A_FAULT", "NOT_MENDED", "PLANNABLE", "Work", "cut", "moved", "read_notes", "unplanned", "write_notes"]

PLANNABLE: Final = frozenset(
    {
        TaskState.OPEN,
        TaskState.PLANNED,
        TaskState.ASSIGNED,
        TaskState.ACCEPTED,
        TaskState.WAITING_FOR_PARTS,
        TaskState.TRAVELLING,
        TaskState.IN_PROGRESS,
        TaskState.REJECTED,
    }
)
"""States of a task that takes up somebody's time, or should."""

NOT_MENDED: Final = "not mended: "
"""How the reason of a task begins that was thought done: whoever gets it should know."""

NOT_A_FAULT: Final = ("false_alarm", "planned", "sensor_fault")
"""Verdicts after which nothing was wrong with the machine: no part was used, and no signal has to return."""

_REASON_BYTES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Work:
    """A task, its alerts and the agent's notes on it. Moments are Unix nanoseconds, 0: not yet."""

    task: Task
    raised: Mapping[str, str] = field(default_factory=dict)
    """Alerts that still hold: alert id by fingerprint."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint by alert id, for every alert the task lists: a verdict names both."""
    tags: tuple[str, ...] = ()
    """Tags of its alerts: their prognoses count for it."""
    declined: tuple[str, ...] = ()
    """Technicians who do not get it again: they rejected it or never accepted it."""
    calm_since_ns: int = 0
    """Since when none of its alerts holds."""
    parts_at_ns: int = 0
    """When the parts it takes are there; 0: now."""
    parts_held: bool = False
    """Whether the parts it takes are reserved for it."""
    waits_for: tuple[str, ...] = ()
    """Names of the parts of which too few are left; `parts_at_ns` is when they should have come."""
    started_at_ns: int = 0
    """When somebody began to work on it."""
    steps_taken: int = 0
    """Escalation steps taken since it was assigned."""
    held_by: str = ""
    """The cause and device whose consequence this is; while it says so, nothing is planned."""
    verdict: str = ""
    """What a person found (the value of a VerdictKind)."""
    pinned_to: str = ""
    """The technician a person has fixed; counts while the task is pinned."""
    wanted_ns: int = 0
    """The start a person has fixed; counts while the task is pinned."""

    @property
    def place(self) -> tuple[str, str]:
        """The key of its incident: device and cause."""
        return str(self.task.device), self.task.cause

    @property
    def is_begun(self) -> bool:
        """Whether somebody is at it or on the way: a fact no plan may change."""
        return self.task.state in (TaskState.TRAVELLING, TaskState.IN_PROGRESS)

    @property
    def has_slot(self) -> bool:
        """Whether it stands in somebody's plan."""
        return bool(self.task.technician and self.task.planned_start_ns) and self.task.state in PLANNABLE


_NOTES: Final = tuple(one.name for one in fields(Work) if one.name != "task")


def moved(work: Work, move: Move, now_ns: int, *, reason: str | None = None, by: str = "") -> Work:
    """The work after a move; NotPossible if the table does not have it. A new state begins `now_ns`."""
    task = work.task
    state = step(task.state, move)
    task = replace(
        task,
        state=state,
        changed_at_ns=task.changed_at_ns if state is task.state else now_ns,
        reason=task.reason if reason is None else cut(reason),
        by=by,
    )
    steps = work.steps_taken if state is work.task.state else 0
    return replace(work, task=task, steps_taken=steps)


def unplanned(work: Work, now_ns: int, reason: str, *, by: str = "") -> Work:
    """Open, with no technician and no slot, and the reason."""
    move = Move.REOPEN if work.task.state is TaskState.DONE else Move.UNPLAN
    opened = moved(work, move, now_ns, reason=reason, by=by)
    task = replace(opened.task, technician="", planned_start_ns=0, planned_end_ns=0, travel_s=0)
    return replace(opened, task=task, started_at_ns=0)


def write_notes(work: Work) -> str:
    """All but the task as JSON."""
    return json.dumps({name: getattr(work, name) for name in _NOTES})


def read_notes(task: Task, notes: str) -> Work:
    """The work as it was written; notes of a later release that are not known here are left out."""
    known: dict[str, Any] = {name: value for name, value in json.loads(notes).items() if name in _NOTES}
    for name in ("tags", "declined", "waits_for"):
        known[name] = tuple(known.get(name, ()))
    return Work(task, **known)


def cut(text: str, bytes_max: int = _REASON_BYTES_MAX) -> str:
    """The text as far as a field of a task takes it."""
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")
