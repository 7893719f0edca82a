"""What the maintenance agent remembers: tasks, alerts dealt with, revisions not yet published. All for ever.

A task's new revision, its place in the outbox and the key of the alert that caused it are one transaction. So
a crash leaves either all of it or nothing: no task twice, none forgotten.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from fieldline.model import TaskState
from fieldline.wire.plant import decode_task, encode_task
from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.database import Database
from fieldline_cloud.agents.maintenance.book import HANDLED_MAX, Changes
from fieldline_cloud.agents.maintenance.stages import OpenTask

__all__ = ["MaintenanceStore", "Saved"]

_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, is_done INTEGER NOT NULL, task BLOB NOT NULL) WITHOUT
ROWID; CREATE INDEX IF NOT EXISTS tasks_open ON tasks (is_done) WHERE is_done = 0; CREATE TABLE IF NOT EXISTS
raised (
    task TEXT NOT NULL, fingerprint TEXT NOT NULL, alert TEXT NOT NULL,
    PRIMARY KEY (task, fingerprint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS handled (id INTEGER PRIMARY KEY AUTOINCREMENT, alert TEXT NOT NULL UNIQUE);
{outbox.SCHEMA}"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a former run left."""

    tasks: list[OpenTask] = field(default_factory=list)
    handled: list[str] = field(default_factory=list)


class MaintenanceStore:
    """The agent's database file, `maintenance.db`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open or create the file in `folder`; StorageError names the file and the cure."""
        return cls(await Database.open(folder / "maintenance.db", schema=_SCHEMA, version=_VERSION))

    async def load(self) -> Saved:
        """Open tasks, and the alerts dealt with, oldest first."""
        return await self._database.run(_load)

    async def save(self, changes: Changes) -> list[outbox.Outgoing]:
        """Keep all of it, or, if StorageError is raised, none of it. Returns what is now to be published."""

        def work(connection: sqlite3.Connection) -> list[outbox.Outgoing]:
            for current in (*changes.revisions, *changes.quiet):
                _keep(connection, current)
            outbox.post(connection, [(current.task.topic, encode_task(current.task)) for current in changes.revisions])
            _keep_handled(connection, changes.handled)
            return outbox.waiting(connection)

        return await self._database.run(work)

    async def sent(self, up_to_id: int) -> None:
        """Everything in the outbox up to this id is with the hub."""
        await self._database.run(lambda connection: outbox.sent(connection, up_to_id))

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()


def _load(connection: sqlite3.Connection) -> Saved:
    tasks = [decode_task(blob) for (blob,) in connection.execute("SELECT task FROM tasks WHERE is_done = 0")]
    raised: dict[str, dict[str, str]] = {}
    for task, fingerprint, alert in connection.execute("SELECT task, fingerprint, alert FROM raised"):
        raised.setdefault(task, {})[fingerprint] = alert
    handled = connection.execute("SELECT alert FROM handled ORDER BY id").fetchall()
    return Saved([OpenTask(task, raised.get(task.id, {})) for task in tasks], [alert for (alert,) in handled])


def _keep(connection: sqlite3.Connection, current: OpenTask) -> None:
    task = current.task
    is_done = task.state is TaskState.DONE
    connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?)", (task.id, is_done, encode_task(task)))
    connection.execute("DELETE FROM raised WHERE task = ?", (task.id,))
    if not is_done:
        rows = [(task.id, fingerprint, alert) for fingerprint, alert in current.raised.items()]
        connection.executemany("INSERT INTO raised VALUES (?, ?, ?)", rows)


def _keep_handled(connection: sqlite3.Connection, handled: Iterable[str]) -> None:
    connection.executemany("INSERT OR IGNORE INTO handled (alert) VALUES (?)", [(key,) for key in handled])
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM handled").fetchone()[0]
    connection.execute("DELETE FROM handled WHERE id <= ?", (newest - HANDLED_MAX,))
