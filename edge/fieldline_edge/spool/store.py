"""The spool file, synchronous: one transaction and one fsync per commit.

Called from the spool's own threads only.
"""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Self

from fieldline_edge.spool import schema
from fieldline_edge.spool.policy import (
    Loss,
    State,
    Stored,
    Writing,
    bound_bytes,
    drop_up_to,
    vacuum_pages,
    with_sequence,
)

__all__ = ["Store"]

_DROP_ROWS_MAX = 4096
_DERIVED = ("oldest_at_ns", "last_frame")
_COLUMNS = tuple(field.name for field in fields(State) if field.name not in _DERIVED)
_SELECT_STATE = f"SELECT {', '.join(_COLUMNS)} FROM state"
_UPDATE_STATE = f"UPDATE state SET {', '.join(f'{column} = ?' for column in _COLUMNS)}"


class Store:
    """Frames, gaps and counters in one file. `state` is what the file holds as of the last commit.

    A disk that fails raises sqlite3.Error or OSError out of every method; the file then holds what it held
    before.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, bytes_max: int) -> None:
        self._path = path
        self._connection = connection
        self._reader: sqlite3.Connection | None = None
        self._bytes_max = bytes_max
        self._inode = path.stat().st_ino
        self._page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self.state = load_state(connection)

    @classmethod
    def open(cls, path: Path, *, bytes_max: int) -> Self:
        """Open or create the file; a corrupt one is put aside and a new one, with a new epoch, takes its place."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(path, schema.connect(path), bytes_max=bytes_max)
        except sqlite3.DatabaseError as error:
            if not schema.is_corruption(error):
                raise
            schema.quarantine(path, str(error))
            return cls(path, schema.connect(path), bytes_max=bytes_max)

    def rebound(self, bytes_max: int) -> None:
        """Another bound, from the next commit on. May be called in any thread."""
        self._bytes_max = bytes_max

    def commit(self, writing: Writing) -> State:
        """Trim what is acknowledged, append what is new, drop what is over the bound: all of it or nothing, fsynced."""
        self._check_place()
        try:
            self.state = self._commit(writing)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            # Once what stands in the write-ahead log is in the file itself, the log is written over from its beginning,
            # and that needs no space: a spool that only passes frames on goes on working on a full disk.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self.state = self._commit(writing)
        self._vacuum()
        return self.state

    def _commit(self, writing: Writing) -> State:
        bound = self._bound_bytes()
        with self._transaction():
            state = self._trim(self.state, writing.acked_sequence)
            state = self._append(state, writing)
            state = self._make_room(state, writing.keep_up_to, bound)
            return self._save(state)

    def discard(self, sequences: Sequence[int]) -> State:
        """Turn frames that can no longer be read into a counted gap."""
        with self._transaction():
            state = self.state
            for sequence in sequences:
                state = self._drop(state, sequence - 1, sequence)
            state = self._save(state)
        self.state = state
        return state

    def renew_epoch(self) -> State:
        """Give the numbering a new identity; sequences go on."""
        with self._transaction():
            state = self._save(replace(self.state, epoch=schema.new_epoch()))
        self.state = state
        return state

    def shift_times(self, first: int, last: int, offset_ns: int) -> State:
        """Add to the `at_ns` of frames: the clock that gave it was wrong."""
        with self._transaction():
            self._connection.execute(
                "UPDATE frames SET at_ns = at_ns + ? WHERE sequence BETWEEN ? AND ?", (offset_ns, first, last)
            )
            state = self._save(self.state)
        self.state = state
        return state

    def read(self, after: int, *, frames_max: int, bytes_max: int) -> tuple[list[Stored], list[int]]:
        """Frames after a sequence, in order, and the sequences of those that fail their checksum.

        May run in another thread than the writing methods. At least one frame if there is any.
        """
        if self._reader is None:
            self._reader = schema.connect_read_only(self._path)
        cursor = self._reader.execute(
            "SELECT sequence, crc32, frame FROM frames WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, frames_max),
        )
        found: list[Stored] = []
        damaged: list[int] = []
        size, before = 0, after
        with contextlib.closing(cursor):
            for sequence, crc32, frame in cursor:
                if zlib.crc32(frame) != crc32:
                    damaged.append(sequence)
                    continue
                size += len(frame)
                if found and size > bytes_max:
                    break
                found.append(self._stored(sequence, before, frame))
                before = sequence
        return found, damaged

    def close(self) -> None:
        """Let the file go. Nothing is pending: every commit was complete."""
        for connection in (self._reader, self._connection):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):  # a failing disk; all that counts is already fsynced
                    connection.close()

    def _check_place(self) -> None:
        """SQLite would go on writing to a file that was deleted or replaced, and nobody would find it again."""
        if self._path.stat().st_ino != self._inode:
            raise FileNotFoundError(f"{self._path} has been replaced by another file")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error tells more
                    self._connection.execute("ROLLBACK")
            raise

    def _trim(self, state: State, acked_sequence: int) -> State:
        if acked_sequence <= state.acked_sequence:
            return state
        where = "FROM frames WHERE sequence <= ?"
        count, readings, size = self._connection.execute(
            f"SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(frame)), 0) {where}",
            (acked_sequence,),
        ).fetchone()
        self._connection.execute(f"DELETE {where}", (acked_sequence,))
        self._connection.execute("DELETE FROM gaps WHERE last <= ?", (acked_sequence,))
        return replace(
            state,
            acked_sequence=acked_sequence,
            frames=state.frames - count,
            bytes=state.bytes - size,
            readings_acked=state.readings_acked + readings,
        )

    def _append(self, state: State, writing: Writing) -> State:
        if writing.loss:
            state = self._append_gap(state, writing.loss)
        rows = []
        for sequence, entry in enumerate(writing.entries, state.next_sequence):
            frame = with_sequence(entry.frame, sequence)
            rows.append((sequence, entry.at_ns, entry.readings, zlib.crc32(frame), frame))
        self._connection.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?)", rows)
        readings = sum(entry.readings for entry in writing.entries)
        return replace(
            state,
            next_sequence=state.next_sequence + len(rows),
            frames=state.frames + len(rows),
            bytes=state.bytes + sum(len(row[4]) for row in rows),
            readings_polled=writing.readings_polled,
            readings_spooled=state.readings_spooled + readings,
            frames_spooled=state.frames_spooled + len(rows),
        )

    def _append_gap(self, state: State, loss: Loss) -> State:
        """What was lost before it had a sequence gets one, so that the gap is told to the hub like any other."""
        first, last = state.next_sequence, state.next_sequence + loss.frames - 1
        self._add_gap(first, last, loss.readings)
        return replace(
            state,
            next_sequence=last + 1,
            readings_dropped=state.readings_dropped + loss.readings,
            frames_dropped=state.frames_dropped + loss.frames,
        )

    def _make_room(self, state: State, keep_up_to: int, bound: int) -> State:
        """Drop the oldest frames until the file's used pages fit the bound, with 1/64 to spare; never the newest."""
        while (over := self._used_bytes() - bound) > 0 and state.frames > 1:
            for after in (keep_up_to, 0):  # what may be on its way to the hub goes last
                last = drop_up_to(self._droppable(after), over + bound // 64)
                if last:
                    break
            else:
                return state
            state = self._drop(state, after, last)
        return state

    def _droppable(self, after: int) -> list[tuple[int, int]]:
        return self._connection.execute(
            "SELECT sequence, length(frame) FROM frames WHERE sequence > ?"
            " AND sequence < (SELECT max(sequence) FROM frames) ORDER BY sequence LIMIT ?",
            (after, _DROP_ROWS_MAX),
        ).fetchall()

    def _drop(self, state: State, after: int, last: int) -> State:
        where = "FROM frames WHERE sequence > ? AND sequence <= ?"
        first, count, readings, size = self._connection.execute(
            f"SELECT min(sequence), count(*), sum(readings), sum(length(frame)) {where}", (after, last)
        ).fetchone()
        if not count:
            return state
        self._connection.execute(f"DELETE {where}", (after, last))
        self._add_gap(first, last, readings)
        return replace(
            state,
            frames=state.frames - count,
            bytes=state.bytes - size,
            readings_dropped=state.readings_dropped + readings,
            frames_dropped=state.frames_dropped + count,
        )

    def _add_gap(self, first: int, last: int, readings: int) -> None:
        """Note a gap, joined with those it touches, so that there are never more gaps than frames between them."""
        touching = "FROM gaps WHERE last >= ? AND first <= ?"
        for other_first, other_last, other_readings in self._connection.execute(
            f"SELECT first, last, readings {touching}", (first - 1, last + 1)
        ).fetchall():
            first, last = min(first, other_first), max(last, other_last)
            readings += other_readings
        self._connection.execute(f"DELETE {touching}", (first, last))
        self._connection.execute("INSERT INTO gaps VALUES (?, ?, ?)", (first, last, readings))

    def _save(self, state: State) -> State:
        self._connection.execute(_UPDATE_STATE, [getattr(state, column) for column in _COLUMNS])
        return with_derived(self._connection, state)

    def _stored(self, sequence: int, before: int, frame: bytes) -> Stored:
        if sequence == before + 1:
            return Stored(sequence, before, frame)
        assert self._reader is not None
        (missing,) = self._reader.execute(
            "SELECT coalesce(sum(readings), 0) FROM gaps WHERE last > ? AND first < ?", (before, sequence)
        ).fetchone()
        return Stored(sequence, before, frame, missing)

    def _bound_bytes(self) -> int:
        used, free = self._pages()
        size = (used + free) * self._page_bytes
        disk = os.statvfs(self._path.parent)
        coming = size - self._path.stat().st_size  # pages that are in the write-ahead log alone, for now
        return bound_bytes(
            bytes_max=self._bytes_max,
            file_bytes=size,
            disk_bytes=disk.f_blocks * disk.f_frsize,
            left_bytes=disk.f_bavail * disk.f_frsize - coming,
        )

    def _used_bytes(self) -> int:
        used, _ = self._pages()
        return used * self._page_bytes

    def _pages(self) -> tuple[int, int]:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return pages - free, free

    def _vacuum(self) -> None:
        used, free = self._pages()
        if pages := vacuum_pages(used=used, free=free):
            with contextlib.suppress(sqlite3.Error):  # giving pages back can wait; the commit itself has succeeded
                # execute() would take a single step of it, which is a single page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")


def load_state(connection: sqlite3.Connection) -> State:
    """The numbers in a spool file."""
    row = connection.execute(_SELECT_STATE).fetchone()
    return with_derived(connection, State(**dict(zip(_COLUMNS, row, strict=True))))


def with_derived(connection: sqlite3.Connection, state: State) -> State:
    """`state` with what is looked up rather than stored."""
    oldest = connection.execute("SELECT at_ns FROM frames ORDER BY sequence LIMIT 1").fetchone()
    (last_frame,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM frames").fetchone()
    return replace(state, oldest_at_ns=oldest[0] if oldest else None, last_frame=last_frame)
