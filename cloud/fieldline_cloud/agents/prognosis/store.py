"""What the prognosis agent remembers: tags, frames already handled, prognoses not yet published.

One transaction holds all that belongs together, so that after a crash the frames since the last save lead to the very
prognoses they led to before, and each is published.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from fieldline.model import DeviceId
from fieldline.wire.readings import encode_readings
from fieldline_cloud.agents import frames_seen, outbox
from fieldline_cloud.agents.agent_store import AgentStore
from fieldline_cloud.agents.database import Database
from fieldline_cloud.agents.prognosis.forecaster import Announcement, TagState
from fieldline_cloud.agents.prognosis.machines import MachineState
from fieldline_cloud.prognosis.features import BEGINNING
from fieldline_cloud.prognosis.tags import prognosis_topic

__all__ = ["PrognosisStore", "Saved"]

_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS tags (
    device TEXT NOT NULL, tag TEXT NOT NULL, state TEXT NOT NULL, points TEXT NOT NULL,
    PRIMARY KEY (device, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS machines (
    device TEXT PRIMARY KEY, begin_ns INTEGER NOT NULL, step_ns INTEGER NOT NULL, newest INTEGER NOT NULL,
    said_at_ns INTEGER NOT NULL, stands INTEGER NOT NULL, first_kept INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS steps (
    device TEXT NOT NULL, step INTEGER NOT NULL, cells TEXT NOT NULL, PRIMARY KEY (device, step)) WITHOUT ROWID;
{frames_seen.SCHEMA}{outbox.SCHEMA}"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a former run left."""

    tags: list[TagState] = field(default_factory=list)
    machines: list[MachineState] = field(default_factory=list)
    seen: list[tuple[str, int, int]] = field(default_factory=list)


class PrognosisStore(AgentStore):
    """The agent's database file, `prognosis.db`."""

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open or create the file in `folder`; StorageError names the file and the cure."""
        return cls(await Database.open(folder / "prognosis.db", schema=_SCHEMA, version=_VERSION))

    async def load(self) -> Saved:
        """What the last run saved."""
        return await self._database.run(_load)

    async def save(
        self,
        tags: Sequence[TagState],
        machines: Sequence[MachineState],
        seen: Sequence[tuple[str, int, int]],
        said: Sequence[Announcement],
    ) -> None:
        """Keep all of it, or, if StorageError is raised, none of it."""

        def work(connection: sqlite3.Connection) -> None:
            for kept in tags:
                _keep_tag(connection, kept)
            for machine in machines:
                _keep_machine(connection, machine)
            frames_seen.keep(connection, seen)
            outbox.post(connection, [(prognosis_topic(each.device), encode_readings(each.readings)) for each in said])

        await self._database.run(work)


def _load(connection: sqlite3.Connection) -> Saved:
    tags = connection.execute("SELECT device, tag, state, points FROM tags").fetchall()
    return Saved(
        tags=[
            TagState(DeviceId(*device.split("/")), tag, json.loads(state), json.loads(points))
            for device, tag, state, points in tags
        ],
        machines=_machines(connection),
        seen=frames_seen.load(connection),
    )


def _keep_tag(connection: sqlite3.Connection, kept: TagState) -> None:
    device, state = str(kept.device), _json(kept.state)
    if kept.points is None:
        connection.execute("UPDATE tags SET state = ? WHERE device = ? AND tag = ?", (state, device, kept.tag))
    else:
        row = (device, kept.tag, state, _json(kept.points))
        connection.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", row)


def _machines(connection: sqlite3.Connection) -> list[MachineState]:
    rows: dict[str, dict[int, dict[str, tuple[float, int]]]] = {}
    for device, step, cells in connection.execute("SELECT device, step, cells FROM steps"):
        rows.setdefault(device, {})[step] = {tag: (total, count) for tag, (total, count) in json.loads(cells).items()}
    found = connection.execute(
        "SELECT device, begin_ns, step_ns, newest, said_at_ns, stands, first_kept FROM machines"
    ).fetchall()
    return [
        MachineState(
            DeviceId(*device.split("/")), begin_ns, step_ns, newest, at_ns, bool(stands), first, rows.get(device, {})
        )
        for device, begin_ns, step_ns, newest, at_ns, stands, first in found
    ]


def _keep_machine(connection: sqlite3.Connection, kept: MachineState) -> None:
    device = str(kept.device)
    facts = (kept.begin_ns, kept.step_ns, kept.newest, kept.said_at_ns, kept.stands, kept.first_kept)
    connection.execute("INSERT OR REPLACE INTO machines VALUES (?, ?, ?, ?, ?, ?, ?)", (device, *facts))
    first, last = (0, -1) if kept.is_anew else (BEGINNING, kept.first_kept - 1)
    connection.execute(
        "DELETE FROM steps WHERE device = ?1 AND step >= ?2 AND (step <= ?3 OR ?3 < 0)", (device, first, last)
    )
    rows = [(device, step, _json(cells)) for step, cells in kept.rows.items()]
    connection.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", rows)


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))
