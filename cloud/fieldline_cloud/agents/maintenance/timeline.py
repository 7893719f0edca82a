"""What happened to an incident, event by event. An incident is everything of one cause at one device. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fieldline.model import Alert, Task

__all__ = ["Event", "EventKind", "alert_event", "parts_event", "stock_event", "task_event"]


class EventKind(StrEnum):
    """What an event tells of."""

    ALERT = "alert"
    SILENCED = "silenced"  # an alert that is only a consequence
    TASK = "task"  # a revision
    ORDER = "order"  # what a person said to do
    NOTE = "note"
    VERDICT = "verdict"
    ABSENCE = "absence"
    STOCK = "stock"  # parts reserved, released, used, booked in or counted
    NOTICE = "notice"  # a message to people that could not be delivered


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history. `data` is JSON-able; `device` is site/area/device, empty where none is meant."""

    at_ns: int
    kind: EventKind
    device: str = ""
    cause: str = ""
    task: str = ""
    technician: str = ""
    by: str = ""
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def alert_event(alert: Alert, now_ns: int, kind: EventKind = EventKind.ALERT, text: str = "") -> Event:
    """An alert has changed its state."""
    return Event(
        now_ns,
        kind,
        str(alert.device),
        alert.cause,
        by=alert.by,
        text=text or f"{alert.state.value}: {alert.message}",
        data={
            "alert": alert.id,
            "state": alert.state.value,
            "severity": alert.severity.name.lower(),
            "tag": alert.tag,
            "rule": alert.rule,
        },
    )


def task_event(task: Task, now_ns: int) -> Event:
    """A task has a new revision."""
    return Event(
        now_ns,
        EventKind.TASK,
        str(task.device),
        task.cause,
        task.id,
        task.technician,
        task.by,
        task.reason or task.state.value,
        {
            "revision": task.revision,
            "state": task.state.value,
            "due_at_ns": task.due_at_ns,
            "planned_start_ns": task.planned_start_ns,
            "planned_end_ns": task.planned_end_ns,
            "priority": round(task.priority, 1),
        },
    )


def stock_event(part: str, on_hand: int, change: int, text: str, task: Task | None, by: str, now_ns: int) -> Event:
    """So many of a part lie in the store now; `task`: the one that has used them."""
    said = f"{part}: {text}, {on_hand} in the store"
    data = {"part": part, "on_hand": on_hand, "change": change}
    if task is None:
        return Event(now_ns, EventKind.STOCK, by=by, text=said, data=data)
    place = (str(task.device), task.cause, task.id, task.technician)
    return Event(now_ns, EventKind.STOCK, *place, by, said, data)


def parts_event(what: str, parts: Mapping[str, int], task: Task, now_ns: int) -> Event:
    """Parts are reserved for a task, or released from it."""
    said = f"{what}: {', '.join(f'{count} {name}' for name, count in parts.items())}"
    place = (str(task.device), task.cause, task.id, task.technician)
    return Event(now_ns, EventKind.STOCK, *place, text=said, data={"parts": dict(parts)})
