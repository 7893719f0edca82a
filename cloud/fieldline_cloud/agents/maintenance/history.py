"""The history in the agent's database: every event for ever, found by device, cause, technician, task and time."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fieldline_cloud.agents.maintenance.timeline import Event, EventKind

__all__ = ["EVENTS_MAX", "SCHEMA", "HistoryQuery", "add_events", "read_events", "slots_of"]

EVENTS_MAX: Final = 1_000
"""Events that one answer holds at most; ask again with `before_id` for those before."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, kind TEXT NOT NULL, device TEXT NOT NULL,
    cause TEXT NOT NULL, task TEXT NOT NULL, technician TEXT NOT NULL, by TEXT NOT NULL, text TEXT NOT NULL,
    data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS history_device ON history (device, cause, id);
CREATE INDEX IF NOT EXISTS history_task ON history (task, id);
CREATE INDEX IF NOT EXISTS history_technician ON history (technician, id);
CREATE INDEX IF NOT EXISTS history_time ON history (at_ns);
"""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What to look for; empty and 0: does not matter. Moments are Unix nanoseconds, the first one included."""

    device: str = ""
    cause: str = ""
    task: str = ""
    technician: str = ""
    kind: str = ""
    from_ns: int = 0
    to_ns: int = 0
    before_id: int = 0
    count_max: int = 100


def add_events(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Append them, within the caller's transaction."""
    connection.executemany(
        "INSERT INTO history (at_ns, kind, device, cause, task, technician, by, text, data) VALUES (?,?,?,?,?,?,?,?,?)",
        [
            (e.at_ns, e.kind.value, e.device, e.cause, e.task, e.technician, e.by, e.text, json.dumps(e.data))
            for e in events
        ],
    )


def read_events(connection: sqlite3.Connection, query: HistoryQuery) -> list[tuple[int, Event]]:
    """The newest events that fit, newest first, with their ids."""
    conditions, values = ["1"], list[Any]()
    for column in ("device", "cause", "task", "technician", "kind"):
        if wanted := getattr(query, column):
            conditions.append(f"{column} = ?")
            values.append(wanted)
    for condition, value in (
        ("at_ns >= ?", query.from_ns),
        ("at_ns < ?", query.to_ns),
        ("id < ?", query.before_id),
    ):
        if value:
            conditions.append(condition)
            values.append(value)
    rows = connection.execute(
        "SELECT id, at_ns, kind, device, cause, task, technician, by, text, data FROM history "
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        (*values, min(query.count_max, EVENTS_MAX)),
    )
    return [
        (id_, Event(at_ns, EventKind(kind), device, cause, task, technician, by, text, json.loads(data)))
        for id_, at_ns, kind, device, cause, task, technician, by, text, data in rows
    ]


def slots_of(connection: sqlite3.Connection, technician: str, from_ns: int, count_max: int) -> list[tuple[Event, bool]]:
    """For each task this technician has had a slot for: the last event with it, and whether it is still theirs.

    Only tasks that something has happened to since `from_ns`, the newest first.
    """
    rows = connection.execute(
        """
        SELECT mine.at_ns, mine.device, mine.cause, mine.task, mine.by, mine.text, mine.data, last.technician, last.data
        FROM (SELECT task, max(id) AS id FROM history
              WHERE technician = ?1 AND kind = 'task' AND json_extract(data, '$.planned_start_ns') > 0
              GROUP BY task) AS newest
        JOIN history AS mine ON mine.id = newest.id
        JOIN history AS last ON last.id = (SELECT max(id) FROM history WHERE task = newest.task AND kind = 'task')
        WHERE last.at_ns >= ?2 ORDER BY last.id DESC LIMIT ?3
        """,
        (technician, from_ns, count_max),
    )
    found = []
    for at_ns, device, cause, task, by, text, data, last_technician, last_data in rows:
        last = json.loads(last_data)
        shown = {**json.loads(data), "revision": last["revision"], "state": last["state"]}
        is_theirs = last_technician == technician and last["state"] not in ("open", "cancelled", "rejected")
        found.append((Event(at_ns, EventKind.TASK, device, cause, task, technician, by, text, shown), is_theirs))
    return found
