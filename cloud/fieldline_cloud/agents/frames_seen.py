"""Which frames an agent has handled: in memory, and as a table in its own database."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["PRODUCERS_MAX", "SCHEMA", "Seen", "keep", "load"]

PRODUCERS_MAX: Final = 4_096
"""Producers whose last frame is remembered; past that the one heard longest ago is forgotten."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (
    producer TEXT NOT NULL, epoch TEXT NOT NULL, sequence TEXT NOT NULL, touched INTEGER NOT NULL,
    PRIMARY KEY (producer, epoch)) WITHOUT ROWID;  -- text: both numbers are unsigned 64 bit
"""


class Seen:
    """Which frames have been handled: the last sequence of each (producer, epoch). Pure, bounded.

    Offsets would not do: a hub that starts with an empty log gives the same offsets to other frames.
    """

    def __init__(self, entries: Iterable[tuple[str, int, int]] = ()) -> None:
        self._last = {(producer, epoch): sequence for producer, epoch, sequence in entries}
        self._changed: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def is_new(self, producer: str, epoch: int, sequence: int) -> bool:
        """Note a frame; False if it, or a later one of its producer, was noted before."""
        key = (producer, epoch)
        last = self._last.pop(key, 0)  # and in again at the end: the order is that of the last word
        self._last[key] = max(sequence, last)
        if sequence <= last:
            return False
        self._changed[key] = sequence
        if len(self._last) > PRODUCERS_MAX:
            del self._last[next(iter(self._last))]
        return True

    def take_changes(self) -> list[tuple[str, int, int]]:
        """What must be saved since the last call."""
        changed = [(producer, epoch, sequence) for (producer, epoch), sequence in self._changed.items()]
        self._changed.clear()
        return changed


def load(connection: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """All (producer, epoch, sequence) that were kept, in the order of the producers' last word."""
    rows = connection.execute("SELECT producer, epoch, sequence FROM seen ORDER BY touched").fetchall()
    return [(producer, int(epoch), int(sequence)) for producer, epoch, sequence in rows]


def keep(connection: sqlite3.Connection, seen: Sequence[tuple[str, int, int]]) -> None:
    """Keep what `Seen.take_changes` has returned, within the caller's transaction."""
    last = connection.execute("SELECT coalesce(max(touched), 0) FROM seen").fetchone()[0]
    connection.executemany(
        "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
        [(producer, str(epoch), str(sequence), last + 1) for producer, epoch, sequence in seen],
    )
    connection.execute(
        "DELETE FROM seen WHERE (producer, epoch) IN "
        "(SELECT producer, epoch FROM seen ORDER BY touched DESC LIMIT -1 OFFSET ?)",
        (PRODUCERS_MAX,),
    )
