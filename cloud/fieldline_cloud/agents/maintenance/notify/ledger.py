"""Messages to people in the agent's database: what waits, what was sent, what could not be delivered, and why."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.message import Delivery

__all__ = ["SCHEMA", "Outcome", "Result", "add", "due", "note"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, channel TEXT NOT NULL, due_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, task TEXT NOT NULL, technician TEXT NOT NULL, severity INTEGER NOT NULL, title TEXT NOT NULL,
    body TEXT NOT NULL, round INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome TEXT NOT NULL,
    said TEXT NOT NULL, done_ns INTEGER NOT NULL, UNIQUE (key, channel));
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (due_ns) WHERE outcome = 'waiting';
"""

_LOG_MAX: Final = 100_000
"""Deliveries that are over and still remembered."""


class Outcome(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"  # given up after the last attempt
    DROPPED = "dropped"  # no longer wanted, or too many waited


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to: an outcome, or WAITING with the moment of the next attempt."""

    delivery: Delivery
    outcome: Outcome
    at_ns: int
    said: str = ""
    again_ns: int = 0
    follow_up: Delivery | None = None
    """The repeat that follows unless somebody acknowledges."""


def add(connection: sqlite3.Connection, deliveries: Iterable[Delivery], waiting_max: int) -> None:
    """Append those that are not known yet; beyond `waiting_max` the oldest that are not critical are dropped."""
    count = 0
    for one in deliveries:
        count += 1
        connection.execute(
            "INSERT OR IGNORE INTO deliveries (key, channel, due_ns, kind, task, technician, severity, title, body, "
            "round, attempts, outcome, said, done_ns) VALUES (?,?,?,?,?,?,?,?,?,?,?,'waiting','',0)",
            (
                *(one.key, one.channel, one.due_ns, one.kind.value, one.task, one.technician),
                *(int(one.severity), one.title, one.body, one.round, one.attempts),
            ),
        )
    if not count:
        return
    waiting = connection.execute("SELECT count(*) FROM deliveries WHERE outcome = 'waiting'").fetchone()[0]
    if waiting > waiting_max:
        connection.execute(
            "UPDATE deliveries SET outcome = 'dropped', said = 'too many waited' WHERE id IN "
            "(SELECT id FROM deliveries WHERE outcome = 'waiting' ORDER BY severity, id LIMIT ?)",
            (waiting - waiting_max,),
        )


def due(connection: sqlite3.Connection, now_ns: int, count_max: int) -> list[Delivery]:
    """What is to go now, the most severe first, then the oldest."""
    rows = connection.execute(
        "SELECT key, channel, due_ns, kind, task, technician, severity, title, body, round, attempts FROM deliveries "
        "WHERE outcome = 'waiting' AND due_ns <= ? ORDER BY severity DESC, id LIMIT ?",
        (now_ns, count_max),
    )
    return [
        Delivery(
            key, channel, due_ns, NoticeKind(kind), task, technician, Severity(severity), title, body, round_, attempts
        )
        for key, channel, due_ns, kind, task, technician, severity, title, body, round_, attempts in rows
    ]


def note(connection: sqlite3.Connection, results: Iterable[Result]) -> None:
    """Write down what attempts came to, and add the repeats that follow."""
    for result in results:
        one = result.delivery
        connection.execute(
            "UPDATE deliveries SET outcome = ?, attempts = ?, said = ?, due_ns = ?, done_ns = ? "
            "WHERE key = ? AND channel = ?",
            (
                *(result.outcome.value, one.attempts, result.said[:500], result.again_ns or one.due_ns),
                *(0 if result.outcome is Outcome.WAITING else result.at_ns, one.key, one.channel),
            ),
        )
        if result.follow_up is not None:
            add(connection, [result.follow_up], _LOG_MAX)
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM deliveries").fetchone()[0]
    connection.execute("DELETE FROM deliveries WHERE id <= ? AND outcome != 'waiting'", (newest - _LOG_MAX,))
