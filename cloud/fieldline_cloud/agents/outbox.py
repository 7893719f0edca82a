"""What an agent has decided and not yet published: a table in its own database.

A decision and its row here are one transaction; the row goes once the hub has stored the message. So a crash in between
publishes it again, and never forgets it.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fieldline_cloud.agents.bus import Bus

__all__ = ["SCHEMA", "Outgoing", "newest", "post", "publish", "sent", "waiting"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, content BLOB NOT
NULL);
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to the hub."""

    id: int
    topic: str
    content: bytes


def post(connection: sqlite3.Connection, messages: Iterable[tuple[str, bytes]]) -> None:
    """Add (topic, content) pairs, within the caller's transaction."""
    connection.executemany("INSERT INTO outbox (topic, content) VALUES (?, ?)", messages)


def newest(connection: sqlite3.Connection) -> int:
    """The id of what was posted last, also if it was sent since; 0 if nothing ever was."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return int(row[0]) if row else 0


def waiting(connection: sqlite3.Connection, count_max: int = -1) -> list[Outgoing]:
    """What is not yet known to be with the hub, oldest first; at most `count_max` of it, -1: all."""
    rows = connection.execute("SELECT id, topic, content FROM outbox ORDER BY id LIMIT ?", (count_max,)).fetchall()
    return [Outgoing(*row) for row in rows]


def sent(connection: sqlite3.Connection, up_to_id: int) -> None:
    """Everything up to this id is with the hub."""
    connection.execute("DELETE FROM outbox WHERE id <= ?", (up_to_id,))


async def publish(bus: Bus, messages: Iterable[Outgoing]) -> int | None:
    """Publish in order, each stored by the hub before the next; the last one's id, None if there was nothing."""
    last_id = None
    for message in messages:
        await bus.publish(message.topic, message.content, stored=True)
        last_id = message.id
    return last_id
