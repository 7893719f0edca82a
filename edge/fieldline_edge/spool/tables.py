"""The spool's tables: rows of frames, gaps and lanes, and the numbers that go with them. Synchronous, no transactions.

Each method returns the state that its change makes; whoever calls it has opened a transaction and saves that state.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from fieldline_edge.spool.chunks import Chunk, Part, pack, split, thin
from fieldline_edge.spool.lanes import URGENT_BASE, Lane, is_urgent, lane_of, open_lane, urgent_lane
from fieldline_edge.spool.policy import Entry, Loss, State, Stored, with_sequence

__all__ = ["Tables", "load_lanes", "load_numbers", "load_state"]

_DERIVED = ("lanes", "oldest_at_ns", "last_frame", "last_urgent")
_COLUMNS = tuple(field.name for field in fields(State) if field.name not in _DERIVED)
_UPDATE_STATE = f"UPDATE state SET {', '.join(f'{column} = ?' for column in _COLUMNS)}"
_CHUNK = "sequence, span, at_ns, readings, frames, missing, frame"
_INSERT = f"INSERT INTO chunks ({_CHUNK}, crc32) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_URGENT = f"sequence > {URGENT_BASE}"
_READINGS = f"sequence < {URGENT_BASE}"
_LANE = "number, epoch, first, last, acked"


class Tables:
    """One writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def trim(self, state: State, lane: Lane, acked: int) -> State:
        """The hub has a lane up to an id: what is in rows that end there goes."""
        if acked <= lane.acked:
            return state
        where = "FROM chunks WHERE sequence >= ? AND sequence <= ?"
        bounds = (lane.first, acked)
        frames, readings, size = self.connection.execute(
            f"SELECT coalesce(sum(frames), 0), coalesce(sum(readings), 0), coalesce(sum(length(frame)), 0) {where}",
            bounds,
        ).fetchone()
        self.connection.execute(f"DELETE {where}", bounds)
        self.connection.execute("DELETE FROM gaps WHERE first >= ? AND last <= ?", bounds)
        self.connection.execute("UPDATE lanes SET acked = ? WHERE number = ?", (acked, lane.number))
        return replace(
            state,
            lanes=tuple(replace(one, acked=acked) if one.number == lane.number else one for one in state.lanes),
            frames=state.frames - frames,
            bytes=state.bytes - size,
            readings_acked=state.readings_acked + readings,
        )

    def append(self, state: State, entries: Sequence[Entry]) -> tuple[State, list[Stored]]:
        """Add frames to the lane they belong to; also returns those of readings."""
        urgent = [entry for entry in entries if entry.urgent]
        if urgent:
            base = urgent_lane(state.lanes).base
            state, stored = self._append(state, urgent, state.urgent_next, base)
            state = replace(state, urgent_next=state.urgent_next + len(urgent), last_urgent=stored[-1].sequence)
            entries = [entry for entry in entries if not entry.urgent]
        if not entries:
            return state, []
        state, stored = self._append(state, entries, state.next_sequence, open_lane(state.lanes).base)
        following = state.next_sequence + len(entries)
        oldest_at_ns = entries[0].at_ns if state.oldest_at_ns is None else state.oldest_at_ns
        return replace(state, next_sequence=following, last_frame=following - 1, oldest_at_ns=oldest_at_ns), stored

    def _append(self, state: State, entries: Sequence[Entry], first: int, base: int) -> tuple[State, list[Stored]]:
        parts = [Part(id_, with_sequence(entry.frame, id_ - base)) for id_, entry in enumerate(entries, first)]
        size = 0
        for begin, end in split([len(part.frame) for part in parts]):
            readings = sum(entry.readings for entry in entries[begin:end])
            blob = pack(parts[begin:end])
            size += len(blob)
            self.insert(Chunk(parts[end - 1].id, end - begin, entries[begin].at_ns, readings, end - begin, 0, blob))
        state = replace(
            state,
            frames=state.frames + len(parts),
            bytes=state.bytes + size,
            readings_spooled=state.readings_spooled + sum(entry.readings for entry in entries),
            frames_spooled=state.frames_spooled + len(parts),
        )
        return state, [Stored(part.id, part.id - 1, part.frame) for part in parts]

    def insert(self, chunk: Chunk) -> None:
        """Add a row as it is."""
        row = (chunk.last, chunk.span, chunk.at_ns, chunk.readings, chunk.frames, chunk.missing, chunk.blob)
        self.connection.execute(_INSERT, (*row, zlib.crc32(chunk.blob)))

    def append_loss(self, state: State, loss: Loss) -> State:
        """What was lost before it had an id gets ids, so that the gap is told to the hub like any other."""
        state = self._append_gap(state, loss)
        return replace(
            state,
            readings_dropped=state.readings_dropped + loss.readings,
            frames_dropped=state.frames_dropped + loss.frames,
        )

    def _append_gap(self, state: State, loss: Loss) -> State:
        following = state.next_sequence + loss.frames
        self.add_gap(state, state.next_sequence, following - 1, loss.readings)
        return replace(state, next_sequence=following)

    def roll(self, state: State, epoch: int) -> State:
        """Close the open lane, and begin another behind it; one that has no ids yet goes on."""
        lane = open_lane(state.lanes)
        if lane.first == state.next_sequence:
            return state
        return self.add_lane(state, replace(lane, last=state.next_sequence - 1), epoch)

    def add_lane(self, state: State, closed: Lane, epoch: int) -> State:
        """`closed` is written as it is; a new open one, of the given epoch, follows it."""
        first = state.next_sequence
        self.connection.execute(f"REPLACE INTO lanes ({_LANE}) VALUES (?, ?, ?, ?, ?)", _row(closed))
        self.connection.execute(
            "INSERT INTO lanes (epoch, first, last, acked) VALUES (?, ?, NULL, ?)", (epoch, first, first - 1)
        )
        return replace(state, lanes=load_lanes(self.connection))

    def salvaged_lanes(self, state: State, lanes: Sequence[Lane], epochs: tuple[int, int]) -> State:
        """Take over closed lanes, and begin open ones, for readings and for alarms, behind all their ids."""
        self.connection.execute("DELETE FROM lanes")
        self.connection.executemany(f"INSERT INTO lanes ({_LANE}) VALUES (?, ?, ?, ?, ?)", map(_row, lanes))
        for epoch, first in zip(epochs, (state.next_sequence, state.urgent_next), strict=True):
            self.connection.execute(
                "INSERT INTO lanes (epoch, first, last, acked) VALUES (?, ?, NULL, ?)", (epoch, first, first - 1)
            )
        return replace(state, lanes=load_lanes(self.connection))

    def take(self, state: State, chunk: Chunk) -> State:
        """Add a row of another file, and count it as spooled here."""
        self.insert(chunk)
        return replace(
            state,
            frames=state.frames + chunk.frames,
            bytes=state.bytes + len(chunk.blob),
            readings_polled=state.readings_polled + chunk.readings,
            readings_spooled=state.readings_spooled + chunk.readings,
            frames_spooled=state.frames_spooled + chunk.frames,
        )

    def take_gaps(self, gaps: Iterable[tuple[int, int, int]]) -> None:
        """Add gaps of another file."""
        self.connection.executemany("INSERT OR IGNORE INTO gaps VALUES (?, ?, ?)", gaps)

    def new_epoch(self, state: State, lane: Lane, epoch: int) -> State:
        """Give a lane another identity; its ids and sequences stay."""
        self.connection.execute("UPDATE lanes SET epoch = ? WHERE number = ?", (epoch, lane.number))
        return replace(state, lanes=load_lanes(self.connection))

    def retire(self, state: State) -> State:
        """Forget closed lanes that have no frames left. A gap at their end, which no frame of theirs can tell any more,
        is handed on to the open lane."""
        for lane in [one for one in state.lanes if one.last is not None]:
            bounds = (lane.first, lane.last)
            if self.connection.execute(
                "SELECT 1 FROM chunks WHERE sequence BETWEEN ? AND ? LIMIT 1", bounds
            ).fetchone():
                continue
            where = "FROM gaps WHERE first BETWEEN ? AND ?"
            frames, readings = self.connection.execute(
                f"SELECT coalesce(sum(last - first + 1), 0), coalesce(sum(readings), 0) {where}", bounds
            ).fetchone()
            self.connection.execute(f"DELETE {where}", bounds)
            self.connection.execute("DELETE FROM lanes WHERE number = ?", (lane.number,))
            state = replace(state, lanes=tuple(one for one in state.lanes if one != lane))
            if frames:
                state = self._append_gap(state, Loss(frames, readings))
        return state

    def rows(
        self, after: int, up_to: int, *, besides: Sequence[tuple[int, int]] = (), urgent: bool = False, limit: int
    ) -> list[tuple[int, int, int]]:
        """(last id, bytes, at_ns) of rows of readings (or alarms) with a last id in (after, up_to], oldest first.

        `besides` are ranges (after, up to) to leave out; a row is in one of them if any of its ids is.
        """
        where, values = [_URGENT if urgent else _READINGS, "sequence > ?", "sequence <= ?"], [after, up_to]
        for begin, end in besides:
            where.append("NOT (sequence > ? AND sequence - max(span, 1) < ?)")
            values += [begin, end]
        return self.connection.execute(
            f"SELECT sequence, length(frame), at_ns FROM chunks WHERE {' AND '.join(where)} ORDER BY sequence LIMIT ?",
            (*values, limit),
        ).fetchall()

    def newest(self) -> int:
        """The last id of the newest row of readings; 0 if there is none."""
        return int(
            self.connection.execute(f"SELECT coalesce(max(sequence), 0) FROM chunks WHERE {_READINGS}").fetchone()[0]
        )

    def oldest(self) -> int:
        """The last id of the oldest row of readings; 0 if there is none."""
        return int(self.connection.execute("SELECT coalesce(min(sequence), 0) FROM chunks").fetchone()[0])

    def drop(self, state: State, ids: Iterable[int]) -> State:
        """Turn rows, named by their last ids, into counted gaps."""
        for last in ids:
            found = self.connection.execute(
                "SELECT max(span, 1), frames, readings, missing, length(frame) FROM chunks WHERE sequence = ?", (last,)
            ).fetchone()
            if found is None:
                continue
            span, frames, readings, missing, size = found
            self.connection.execute("DELETE FROM chunks WHERE sequence = ?", (last,))
            self.add_gap(state, last - span + 1, last, readings + missing)
            state = replace(state, bytes=state.bytes - size)
            state = _dropped(state, frames, readings)
        return state

    def thin(self, state: State, last: int, seen: dict[str, int], keep_every: int) -> State:
        """Keep every n-th frame of each topic of a row."""
        row = self.connection.execute(f"SELECT {_CHUNK}, crc32 FROM chunks WHERE sequence = ?", (last,)).fetchone()
        chunk = Chunk(*row[:7])
        if zlib.crc32(chunk.blob) != row[7]:
            return self.drop(state, [last])
        thinned = thin(chunk, seen, keep_every)
        if not thinned.frames:
            return state
        left = thinned.left
        if left is None:
            return self.drop(state, [last])
        self.connection.execute("DELETE FROM chunks WHERE sequence = ?", (last,))
        self.insert(left)
        if left.last < last:
            behind = chunk.readings + chunk.missing - left.readings - left.missing
            self.add_gap(state, left.last + 1, last, behind)
        state = replace(state, bytes=state.bytes - len(chunk.blob) + len(left.blob))
        return _dropped(state, thinned.frames, thinned.readings)

    def add_gap(self, state: State, first: int, last: int, readings: int) -> None:
        """Note a gap, joined with those of its lane it touches, so that there are never more gaps than frames between
        them."""
        lane = lane_of(state.lanes, first)
        for other_first, other_last, other_readings in self.connection.execute(
            "SELECT first, last, readings FROM gaps WHERE last >= ? AND first <= ?", (first - 1, last + 1)
        ).fetchall():
            if lane is not None and lane.holds(other_first):
                self.connection.execute("DELETE FROM gaps WHERE first = ?", (other_first,))
                first, last = min(first, other_first), max(last, other_last)
                readings += other_readings
        self.connection.execute("INSERT INTO gaps VALUES (?, ?, ?)", (first, last, readings))

    def save(self, state: State, *, look: bool) -> State:
        """Write the numbers; `look`: rows have gone, so that what is derived has to be looked up."""
        self.connection.execute(_UPDATE_STATE, [getattr(state, column) for column in _COLUMNS])
        return with_derived(self.connection, state) if look else state


def _dropped(state: State, frames: int, readings: int) -> State:
    return replace(
        state,
        frames=state.frames - frames,
        readings_dropped=state.readings_dropped + readings,
        frames_dropped=state.frames_dropped + frames,
    )


def _row(lane: Lane) -> tuple[int, int, int, int | None, int]:
    return (lane.number, lane.epoch, lane.first, lane.last, lane.acked)


def load_lanes(connection: sqlite3.Connection) -> tuple[Lane, ...]:
    """The lanes, in the order they were begun."""
    return tuple(Lane(*row) for row in connection.execute(f"SELECT {_LANE} FROM lanes ORDER BY number"))


def load_numbers(connection: sqlite3.Connection, version: int) -> State:
    """The stored numbers of a spool file of any version, without lanes and what is derived."""
    numbers = {"urgent_next": URGENT_BASE + 1, "thinned_up_to": 0} if version == 1 else {}
    columns = [column for column in _COLUMNS if column not in numbers]
    row = connection.execute(f"SELECT {', '.join(columns)} FROM state").fetchone()
    return State(**{**numbers, **dict(zip(columns, row, strict=True))})


def load_state(connection: sqlite3.Connection) -> State:
    """The numbers in a spool file."""
    return with_derived(connection, replace(load_numbers(connection, 2), lanes=load_lanes(connection)))


def with_derived(connection: sqlite3.Connection, state: State) -> State:
    """`state` with what is looked up rather than stored."""
    oldest = connection.execute("SELECT at_ns, sequence FROM chunks ORDER BY sequence LIMIT 1").fetchone()
    (newest,) = connection.execute(f"SELECT coalesce(max(sequence), 0) FROM chunks WHERE {_READINGS}").fetchone()
    (urgent,) = connection.execute(f"SELECT coalesce(max(sequence), 0) FROM chunks WHERE {_URGENT}").fetchone()
    return replace(
        state,
        oldest_at_ns=oldest[0] if oldest and not is_urgent(oldest[1]) else None,
        last_frame=newest,
        last_urgent=urgent,
    )
