"""What the anomaly agent remembers: tags, raised alerts, frames already handled, alerts not yet published.

One transaction holds all that belongs together. So after a crash the frames since the last save are judged
again from the very state they were judged from before, and an alert that was decided is published, once.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from fieldline.model import Alert, AlertState, DeviceId
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents import frames_seen, outbox
from fieldline_cloud.agents.agent_store import AgentStore
from fieldline_cloud.agents.anomaly import learned_store
from fieldline_cloud.agents.anomaly.learned_store import LearnedChanges, LearnedSaved
from fieldline_cloud.agents.anomaly.tag import TagState
from fieldline_cloud.agents.database import Database

__all__ = ["AnomalyStore", "Saved"]

_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS tags (
    device TEXT NOT NULL, tag TEXT NOT NULL, last_at_ns INTEGER NOT NULL, rules TEXT NOT NULL,
    PRIMARY KEY (device, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS raised (fingerprint TEXT PRIMARY KEY, alert BLOB NOT NULL) WITHOUT ROWID;
{frames_seen.SCHEMA}{outbox.SCHEMA}{learned_store.SCHEMA}"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a former run left."""

    tags: list[TagState] = field(default_factory=list)
    raised: list[Alert] = field(default_factory=list)
    seen: list[tuple[str, int, int]] = field(default_factory=list)
    learned: LearnedSaved = field(default_factory=LearnedSaved)


class AnomalyStore(AgentStore):
    """The agent's database file, `anomaly.db`."""

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open or create the file in `folder`; StorageError names the file and the cure."""
        return cls(await Database.open(folder / "anomaly.db", schema=_SCHEMA, version=_VERSION))

    async def load(self) -> Saved:
        """What the last run saved."""
        return await self._database.run(_load)

    async def save(
        self,
        tags: Sequence[TagState],
        seen: Sequence[tuple[str, int, int]],
        alerts: Sequence[Alert],
        learned: LearnedChanges | None = None,
    ) -> None:
        """Keep all of it, or, if StorageError is raised, none of it."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", map(_tag_row, tags))
            frames_seen.keep(connection, seen)
            for alert in alerts:
                _keep_alert(connection, alert)
            if learned is not None:
                learned_store.keep(connection, learned)

        await self._database.run(work)


def _load(connection: sqlite3.Connection) -> Saved:
    tags = connection.execute("SELECT device, tag, last_at_ns, rules FROM tags").fetchall()
    raised = connection.execute("SELECT alert FROM raised").fetchall()
    return Saved(
        tags=[
            TagState(DeviceId(*device.split("/")), tag, at_ns, json.loads(rules)) for device, tag, at_ns, rules in tags
        ],
        raised=[decode_alert(content) for (content,) in raised],
        seen=frames_seen.load(connection),
        learned=learned_store.load(connection),
    )


def _tag_row(state: TagState) -> tuple[str, str, int, str]:
    return str(state.device), state.tag, state.last_at_ns, json.dumps(state.rules, separators=(",", ":"))


def _keep_alert(connection: sqlite3.Connection, alert: Alert) -> None:
    content = encode_alert(alert)
    outbox.post(connection, [(alert.device.alerts_topic, content)])
    if alert.state is AlertState.RAISED:
        connection.execute("INSERT OR REPLACE INTO raised VALUES (?, ?)", (alert.fingerprint, content))
    else:
        connection.execute("DELETE FROM raised WHERE fingerprint = ?", (alert.fingerprint,))
