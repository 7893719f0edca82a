"""What the maintenance agent remembers: work, alerts dealt with, history, what is to be published. All for ever.

What one frame, order or tick has led to is one transaction: work, the outbox, handled alerts, history, messages to
people. So a crash leaves either all of it or nothing: no task twice, none forgotten.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from fieldline.model import RemainingLife
from fieldline.wire.plant import decode_alert, decode_task, encode_alert, encode_task
from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.agent_store import AgentStore
from fieldline_cloud.agents.database import Database
from fieldline_cloud.agents.maintenance import history
from fieldline_cloud.agents.maintenance.book import HANDLED_MAX, Changes, Known
from fieldline_cloud.agents.maintenance.crew import Absence
from fieldline_cloud.agents.maintenance.history import HistoryQuery
from fieldline_cloud.agents.maintenance.notify import ledger
from fieldline_cloud.agents.maintenance.notify.message import Delivery
from fieldline_cloud.agents.maintenance.stock import Shelf
from fieldline_cloud.agents.maintenance.timeline import Event
from fieldline_cloud.agents.maintenance.work import Work, read_notes, write_notes

__all__ = ["ANSWERS_MAX", "MaintenanceStore"]

ANSWERS_MAX: Final = 10_000
"""Answers to orders that are remembered, so that an order which comes again is not carried out twice."""

_VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, is_over INTEGER NOT NULL, task BLOB NOT NULL, notes TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_not_over ON tasks (is_over) WHERE is_over = 0;
CREATE TABLE IF NOT EXISTS handled (id INTEGER PRIMARY KEY AUTOINCREMENT, alert TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS silenced (fingerprint TEXT PRIMARY KEY, alert BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lives (
    device TEXT NOT NULL, tag TEXT NOT NULL, p10_h REAL NOT NULL, p50_h REAL NOT NULL, p90_h REAL NOT NULL,
    PRIMARY KEY (device, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS absences (
    technician TEXT NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shelves (
    part TEXT PRIMARY KEY, on_hand INTEGER NOT NULL, in_file INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, asked TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, answer TEXT NOT NULL);
{history.SCHEMA}{ledger.SCHEMA}{outbox.SCHEMA}"""


def _from_version_1(connection: sqlite3.Connection) -> None:
    """Version 1 knew tasks and, for those not done, which of their alerts still held."""
    raised: dict[str, dict[str, str]] = {}
    for task, fingerprint, alert in connection.execute("SELECT task, fingerprint, alert FROM raised"):
        raised.setdefault(task, {})[fingerprint] = alert
    rows = []
    for id_, is_done, blob in connection.execute("SELECT id, is_done, task FROM tasks").fetchall():
        held = raised.get(id_, {})
        work = Work(decode_task(blob), raised=held, marks={alert: mark for mark, alert in held.items()})
        rows.append((id_, is_done, blob, write_notes(work)))
    connection.execute("DROP TABLE raised")
    connection.execute("DROP TABLE tasks")
    connection.execute(
        "CREATE TABLE tasks (id TEXT PRIMARY KEY, is_over INTEGER NOT NULL, task BLOB NOT NULL, notes TEXT NOT NULL) "
        "WITHOUT ROWID"
    )
    connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?)", rows)


class MaintenanceStore(AgentStore):
    """The agent's database file, `maintenance.db`."""

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open or create the file in `folder`, carrying over an older one; StorageError names the file and the cure."""
        path = folder / "maintenance.db"
        return cls(await Database.open(path, schema=_SCHEMA, version=_VERSION, migrations={1: _from_version_1}))

    async def load(self) -> Known:
        """What a former run left, oldest first."""
        return await self._database.run(_load)

    async def save(self, changes: Changes, deliveries: Sequence[Delivery] = (), *, waiting_max: int = 10_000) -> int:
        """Keep all of it, or, if StorageError is raised, none of it. The id of the last message to publish; 0: none.

        `deliveries` are the messages to people that follow; one that is known already is not sent twice.
        """

        def work(connection: sqlite3.Connection) -> int:
            for current in (*changes.revisions, *changes.quiet):
                _keep(connection, current)
            _keep_alerts(connection, changes)
            _keep_people_and_parts(connection, changes)
            history.add_events(connection, changes.events)
            ledger.add(connection, deliveries, waiting_max)
            outbox.post(connection, [(current.task.topic, encode_task(current.task)) for current in changes.revisions])
            outbox.post(connection, changes.outgoing)
            return outbox.newest(connection) if changes.revisions or changes.outgoing else 0

        return await self._database.run(work)

    async def history(self, query: HistoryQuery) -> list[tuple[int, Event]]:
        """The newest events that fit, newest first, with their ids."""
        return await self._database.run(lambda connection: history.read_events(connection, query))

    async def slots(self, technician: str, from_ns: int, count_max: int) -> list[tuple[Event, bool]]:
        """See `history.slots_of`."""
        return await self._database.run(lambda connection: history.slots_of(connection, technician, from_ns, count_max))

    async def work(self, task: str) -> Work | None:
        """Any work, also one that is over."""

        def find(connection: sqlite3.Connection) -> Work | None:
            row = connection.execute("SELECT task, notes FROM tasks WHERE id = ?", (task,)).fetchone()
            return read_notes(decode_task(row[0]), row[1]) if row else None

        return await self._database.run(find)

    async def deliveries_due(self, now_ns: int, count_max: int) -> list[Delivery]:
        """Messages to people that are to go now, the most severe first."""
        return await self._database.run(lambda connection: ledger.due(connection, now_ns, count_max))

    async def delivered(self, results: Sequence[ledger.Result]) -> None:
        """What became of attempts to tell people."""
        await self._database.run(lambda connection: ledger.note(connection, results))


def _load(connection: sqlite3.Connection) -> Known:
    rows = connection.execute("SELECT task, notes FROM tasks WHERE is_over = 0").fetchall()
    answers = connection.execute("SELECT asked, digest, answer FROM answers ORDER BY id").fetchall()
    return Known(
        works=[read_notes(decode_task(blob), notes) for blob, notes in rows],
        handled=[alert for (alert,) in connection.execute("SELECT alert FROM handled ORDER BY id")],
        silenced=[decode_alert(blob) for (blob,) in connection.execute("SELECT alert FROM silenced")],
        lives={
            (device, tag): RemainingLife(*hours)
            for device, tag, *hours in connection.execute("SELECT device, tag, p10_h, p50_h, p90_h FROM lives")
        },
        absences=[Absence(*row) for row in connection.execute("SELECT technician, from_ns, to_ns, note FROM absences")],
        shelves={
            part: Shelf(*counts) for part, *counts in connection.execute("SELECT part, on_hand, in_file FROM shelves")
        },
        answers={asked: (digest, answer) for asked, digest, answer in answers},
    )


def _keep(connection: sqlite3.Connection, work: Work) -> None:
    task = work.task
    row = (task.id, task.state.is_over, encode_task(task), write_notes(work))
    connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?)", row)


def _keep_alerts(connection: sqlite3.Connection, changes: Changes) -> None:
    connection.executemany("INSERT OR IGNORE INTO handled (alert) VALUES (?)", [(key,) for key in changes.handled])
    _trim(connection, "handled", HANDLED_MAX)
    for fingerprint, alert in changes.silenced.items():
        if alert is None:
            connection.execute("DELETE FROM silenced WHERE fingerprint = ?", (fingerprint,))
        else:
            connection.execute("INSERT OR REPLACE INTO silenced VALUES (?, ?)", (fingerprint, encode_alert(alert)))
    for (device, tag), life in changes.lives.items():
        if life is None:
            connection.execute("DELETE FROM lives WHERE device = ? AND tag = ?", (device, tag))
        else:
            row = (device, tag, life.p10_h, life.p50_h, life.p90_h)
            connection.execute("INSERT OR REPLACE INTO lives VALUES (?, ?, ?, ?, ?)", row)


def _keep_people_and_parts(connection: sqlite3.Connection, changes: Changes) -> None:
    if changes.absences is not None:
        connection.execute("DELETE FROM absences")
        rows = [(one.technician, one.from_ns, one.to_ns, one.note) for one in changes.absences]
        connection.executemany("INSERT INTO absences VALUES (?, ?, ?, ?)", rows)
    shelves = [(part, shelf.on_hand, shelf.in_file) for part, shelf in changes.shelves.items()]
    connection.executemany("INSERT OR REPLACE INTO shelves VALUES (?, ?, ?)", shelves)
    for asked, (digest, answer) in changes.answers.items():
        connection.execute(
            "INSERT OR REPLACE INTO answers (asked, digest, answer) VALUES (?, ?, ?)", (asked, digest, answer)
        )
    _trim(connection, "answers", ANSWERS_MAX)


def _trim(connection: sqlite3.Connection, table: str, rows_max: int) -> None:
    newest = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
    connection.execute(f"DELETE FROM {table} WHERE id <= ?", (newest - rows_max,))
