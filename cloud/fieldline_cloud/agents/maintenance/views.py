"""Work, plans and history as JSON-able data, for whoever asks. Pure."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta, tzinfo
from typing import Any

from fieldline.model import TaskState
from fieldline_cloud.agents.maintenance.book import Book
from fieldline_cloud.agents.maintenance.lifecycle import moves_from
from fieldline_cloud.agents.maintenance.shifts import EPOCH
from fieldline_cloud.agents.maintenance.timeline import Event
from fieldline_cloud.agents.maintenance.work import Work

__all__ = ["event_view", "moment", "part_view", "plan_view", "task_view", "technicians_view", "unix_ns"]


def moment(at_ns: int, zone: tzinfo) -> str | None:
    """ISO 8601 with seconds and offset; None for 0."""
    if not at_ns:
        return None
    return (EPOCH + timedelta(microseconds=at_ns // 1_000)).astimezone(zone).isoformat(timespec="seconds")


def task_view(work: Work, zone: tzinfo) -> dict[str, Any]:
    """A task, with moments as text and what may happen to it next."""
    task = work.task
    life = task.remaining_life
    return {
        "task": task.id,
        "device": str(task.device),
        "cause": task.cause,
        "severity": task.severity.name.lower(),
        "state": task.state.value,
        "revision": task.revision,
        "title": task.title,
        "instructions": task.instructions,
        "skills": list(task.skills or (task.skill,)),
        "technician": task.technician or None,
        "priority": round(task.priority, 1),
        "created": moment(task.created_at_ns, zone),
        "due": moment(task.due_at_ns, zone),
        "start": moment(task.planned_start_ns, zone),
        "end": moment(task.planned_end_ns, zone),
        "travel_min": round(task.travel_s / 60, 1),
        "work_min": round(task.work_s / 60, 1),
        "downtime_min": round(task.downtime_s / 60, 1),
        "place": task.place,
        "parts": [{"name": part.name, "count": part.count} for part in task.parts],
        "parts_at": moment(work.parts_at_ns, zone),
        "parts_reserved": work.parts_held,
        "waits_for": list(work.waits_for),
        "pinned": task.pinned,
        "remaining_h": asdict(life) if life else None,
        "condition_cleared": task.condition_cleared,
        "reason": task.reason,
        "by": task.by,
        "alerts": list(task.alert_ids),
        "declined": list(work.declined),
        "held_by": work.held_by or None,
        "verdict": work.verdict or None,
        "moves": sorted(move.value for move in moves_from(task.state)),
    }


def event_view(id_: int, event: Event, zone: tzinfo) -> dict[str, Any]:
    """One line of the history."""
    said = {"id": id_, "at": moment(event.at_ns, zone), "kind": event.kind.value}
    for name in ("device", "cause", "task", "technician", "by", "text"):
        if value := getattr(event, name):
            said[name] = value
    return {**said, **({"data": event.data} if event.data else {})}


def plan_view(book: Book, technician: str = "") -> dict[str, Any]:
    """Who does what when, and what has no slot and why."""
    zone = book.board.crew.zone
    planned: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(book.board.crew.technicians)}
    for work in sorted(book.works.values(), key=lambda one: one.task.planned_start_ns):
        if work.has_slot:
            planned.setdefault(work.task.technician, []).append(_slot(work, zone))
    waiting = [work for work in book.works.values() if work.task.state is TaskState.OPEN]
    return {
        "technicians": {name: slots for name, slots in planned.items() if technician in ("", name)},
        "without_slot": [
            {"task": work.task.id, "title": work.task.title, "reason": work.task.reason} for work in waiting
        ],
    }


def part_view(book: Book, part: str) -> dict[str, Any]:
    """A part that is counted: what lies in the store, what of it is reserved, and which tasks wait for more."""
    zone = book.board.crew.zone
    needed = {work.task.id: book.stock.listed(work.task.parts)[part] for work in book.works.values()}
    on_hand = book.stock.on_hand(part)
    reserved = sum(needed[work.task.id] for work in book.works.values() if work.parts_held)
    return {
        "part": part,
        "on_hand": on_hand,
        "reserved": reserved,
        "free": on_hand - reserved,
        "lead_days": book.stock.items[part].lead_days,
        "waiting": [
            {"task": work.task.id, "count": needed[work.task.id], "expected": moment(work.parts_at_ns, zone)}
            for work in book.works.values()
            if part in work.waits_for
        ],
    }


def technicians_view(book: Book, now_ns: int) -> list[dict[str, Any]]:
    """Who is there, who is away until when, and how much each has to do."""
    crew = book.board.crew
    return [
        {
            "technician": one.name,
            "skills": sorted(one.skills),
            "home": one.home or None,
            "at_work_from": moment(next((s for s, _ in _hours(book, one.name, now_ns)), 0), crew.zone),
            "away": [
                {"from": moment(away.from_ns, crew.zone), "until": moment(away.to_ns, crew.zone), "note": away.note}
                for away in book.absences
                if away.technician == one.name
            ],
            "tasks": sum(work.task.technician == one.name for work in book.works.values()),
        }
        for one in sorted(crew.technicians.values(), key=lambda one: one.name)
    ]


def _hours(book: Book, name: str, now_ns: int) -> Iterable[tuple[int, int]]:
    hours = book.board.crew.hours(name, book.absences, now_ns, book.board.rules.days)
    return [(max(start, now_ns), end) for start, end in hours if end > now_ns]


def _slot(work: Work, zone: tzinfo) -> dict[str, Any]:
    task = work.task
    return {
        "task": task.id,
        "title": task.title,
        "state": task.state.value,
        "severity": task.severity.name.lower(),
        "start": moment(task.planned_start_ns, zone),
        "end": moment(task.planned_end_ns, zone),
        "due": moment(task.due_at_ns, zone),
        "is_late": task.planned_end_ns > task.due_at_ns,
        "place": task.place,
        "pinned": task.pinned,
    }


def unix_ns(at: datetime) -> int:
    """A moment with an offset as Unix nanoseconds."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000
