"""The spool file, synchronous: one transaction and one fsync per commit.

Called from the spool's own threads only.
"""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from fieldline_edge.spool import schema
from fieldline_edge.spool.bounds import Bounds
from fieldline_edge.spool.chunks import parts
from fieldline_edge.spool.lanes import URGENT_BASE, Lane
from fieldline_edge.spool.policy import Committed, State, Stored, Writing, bound_bytes, vacuum_pages
from fieldline_edge.spool.room import Room
from fieldline_edge.spool.salvage import Salvage
from fieldline_edge.spool.tables import Tables, load_state
from fieldline_edge.spool.wear import WalMeter

__all__ = ["Store"]

# A backlog that is salvaged is written in pieces, so that the write-ahead log stays small.
_SALVAGED_AT_ONCE_BYTES = 1 << 20
_ENDLESS = (1 << 63) - 1


class Store:
    """Frames, gaps, lanes and counters in one file. `state` is what the file holds as of the last commit.

    A disk that fails raises sqlite3.Error or OSError out of every method; the file then holds what it held
    before.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, bounds: Bounds) -> None:
        self._path = path
        self._connection = connection
        self._tables = Tables(connection)
        self._room = Room(self._tables, bounds)
        self._reader: sqlite3.Connection | None = None
        self._bounds = bounds
        self._inode = path.stat().st_ino
        self._page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self.state = load_state(connection)
        self._used, self._free = self._pages()
        self.bound = bounds.bytes_max
        self._meter = WalMeter(path, page_bytes=self._page_bytes)

    @property
    def used_bytes(self) -> int:
        """What is used of the file, as of the last commit."""
        return self._used * self._page_bytes

    @property
    def bytes_written(self) -> int:
        """What commits have written since the file was opened."""
        return self._meter.bytes

    @classmethod
    def open(cls, path: Path, *, bounds: Bounds) -> Self:
        """Open or create the file. A corrupt one is put aside; what can be read of it goes into a new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(path, schema.connect(path), bounds=bounds)
        except sqlite3.DatabaseError as error:
            if not schema.is_corruption(error):
                raise
            return cls.begin_anew(path, str(error), bounds=bounds)

    @classmethod
    def begin_anew(cls, path: Path, reason: str, *, bounds: Bounds) -> Self:
        """Put a corrupt file aside, and begin a new one with what can be read of it."""
        aside = schema.quarantine(path, reason)
        store = cls(path, schema.connect(path), bounds=bounds)
        with Salvage(aside) as salvage:
            store.take_over(salvage)
        return store

    def rebound(self, bounds: Bounds) -> None:
        """Other bounds, from the next commit on. May be called in any thread."""
        self._bounds = bounds
        self._room.bounds = bounds

    def commit(self, writing: Writing) -> Committed:
        """Trim what is acknowledged, append what is new, drop what is over a bound: all of it or nothing, fsynced."""
        self._check_place()
        try:
            committed = self._commit(writing)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            # Once what stands in the write-ahead log is in the file itself, the log is written over from its beginning,
            # and that needs no space: a spool that only passes frames on goes on working on a full disk.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            committed = self._commit(writing)
        self.state = committed.state
        self._meter.look()
        self._vacuum()
        return committed

    def _commit(self, writing: Writing) -> Committed:
        bound = self._bound_bytes()
        self._room.dropped_up_to = 0
        with self._transaction():
            before = state = self.state
            for lane in state.lanes:
                if lane.number in writing.acked:
                    state = self._tables.trim(state, lane, writing.acked[lane.number])
            if writing.roll:
                state = self._tables.roll(state, schema.new_epoch())
            previous = state.next_sequence - 1
            if writing.loss:
                state = self._tables.append_loss(state, writing.loss)
            state, appended = self._tables.append(state, writing.entries)
            state = replace(state, readings_polled=writing.readings_polled)
            state = self._room.drop_old(state, writing)
            state = self._make_room(state, writing, bound)
            gone = state.frames - before.frames != len(writing.entries)
            if gone or len(state.lanes) > 2:
                state = self._tables.retire(state)
            state = self._tables.save(state, look=gone)
        self.bound = bound
        if appended:
            first = appended[0]
            appended[0] = Stored(first.sequence, previous, first.frame, writing.loss.readings)
        return Committed(state, appended, self._room.dropped_up_to)

    def discard(self, ids: Sequence[int]) -> Committed:
        """Turn rows that can no longer be read, named by their last ids, into a counted gap."""
        with self._transaction():
            state = self._tables.drop(self.state, ids)
            state = self._tables.save(self._tables.retire(state), look=True)
        self.state = state
        return Committed(state, dropped_up_to=max(ids))

    def renew_epoch(self, lane: Lane) -> Committed:
        """Give a lane's numbering a new identity; sequences go on."""
        with self._transaction():
            state = self._tables.new_epoch(self.state, lane, schema.new_epoch())
        self.state = state
        return Committed(state)

    def take_over(self, salvage: Salvage) -> None:
        """Take what can be read of another spool file: its frames under the numbering they had, so that the hub drops
        what it has already; new frames get ids behind theirs."""
        state = self.state
        lanes = salvage.lanes()
        if not lanes:
            return
        with self._transaction():
            state = replace(
                state,
                next_sequence=salvage.next_sequence,
                urgent_next=salvage.urgent_next,
            )
            state = self._tables.salvaged_lanes(state, lanes, (schema.new_epoch(), schema.new_epoch()))
            state = self._tables.save(state, look=False)
        self.state = state
        self._take_frames(salvage)
        salvage.say(self.state.frames, self.state.readings_spooled)

    def _take_frames(self, salvage: Salvage) -> None:
        chunks = salvage.chunks()
        while True:
            size = 0
            with self._transaction():
                state = self.state
                for chunk in chunks:
                    state = self._tables.take(state, chunk)
                    size += len(chunk.blob)
                    if size >= _SALVAGED_AT_ONCE_BYTES:
                        break
                state = self._make_room(state, Writing(), self._bound_bytes())
                if not size:
                    self._tables.take_gaps(salvage.gaps())
                    state = self._tables.retire(state)
                state = self._tables.save(state, look=True)
            self.state = state
            if not size:
                return

    def shift_times(self, first: int, last: int, offset_ns: int) -> Committed:
        """Add to the `at_ns` of rows that end in frames `first` to `last`: the clock that gave it was wrong."""
        with self._transaction():
            self._connection.execute(
                "UPDATE chunks SET at_ns = at_ns + ? WHERE sequence BETWEEN ? AND ?", (offset_ns, first, last)
            )
            state = self._tables.save(self.state, look=True)
        self.state = state
        return Committed(state)

    def read(
        self, after: int, *, frames_max: int, bytes_max: int, lane: int | None = None
    ) -> tuple[list[Stored], list[int]]:
        """Frames of a lane (None: readings of all) with ids after `after`, in order, and the last ids of rows that fail
        their checksum.

        May run in another thread than the writing methods. At least one frame if there is any.
        """
        if self._reader is None:
            self._reader = schema.connect_read_only(self._path)
        self._reader.execute("BEGIN")  # one moment: a lane that is closed now must not hand out frames of the next
        try:
            return self._read(self._reader, after, frames_max, bytes_max, lane)
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._reader.execute("ROLLBACK")

    def _read(
        self, reader: sqlite3.Connection, after: int, frames_max: int, bytes_max: int, lane: int | None
    ) -> tuple[list[Stored], list[int]]:
        up_to = URGENT_BASE
        if lane is not None:
            row = reader.execute("SELECT first, last FROM lanes WHERE number = ?", (lane,)).fetchone()
            if row is None:
                return [], []
            up_to = row[1] if row[1] is not None else _ENDLESS if row[0] > URGENT_BASE else URGENT_BASE
        found: list[Stored] = []
        damaged: list[int] = []
        size, before = 0, after
        rows = reader.execute(
            "SELECT sequence, span, crc32, frame FROM chunks"
            " WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
            (after, up_to, frames_max),
        )
        with contextlib.closing(rows):
            for sequence, span, crc32, blob in rows:
                if zlib.crc32(blob) != crc32:
                    damaged.append(sequence)
                    continue
                for part in parts(blob, sequence, span):
                    if part.id <= after:
                        continue
                    size += len(part.frame)
                    if found and (size > bytes_max or len(found) >= frames_max):
                        return found, damaged
                    missing = 0 if part.id == before + 1 else part.missing + _missing(reader, before, part.id)
                    found.append(Stored(part.id, before, part.frame, missing))
                    before = part.id
        return found, damaged

    def close(self) -> None:
        """Let the file go. Nothing is pending: every commit was complete."""
        for connection in (self._reader, self._connection):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):  # a failing disk; all that counts is already fsynced
                    connection.close()
        self._meter.close()

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

    def _make_room(self, state: State, writing: Writing, bound: int) -> State:
        """Until the file's used pages fit the bound, with 1/64 to spare; the newest frames are never dropped."""
        while True:
            self._used, self._free = self._pages()
            over = self.used_bytes - bound
            if over <= 0 or state.frames <= 1:
                return state
            smaller = self._room.give_way(state, writing, over, bound // 64)
            if smaller is None:
                return state
            state = smaller

    def _bound_bytes(self) -> int:
        size = (self._used + self._free) * self._page_bytes
        disk = os.statvfs(self._path.parent)
        coming = size - self._path.stat().st_size  # pages that are in the write-ahead log alone, for now
        return bound_bytes(
            bytes_max=self._bounds.bytes_max,
            file_bytes=size,
            disk_bytes=disk.f_blocks * disk.f_frsize,
            left_bytes=disk.f_bavail * disk.f_frsize - coming,
        )

    def _pages(self) -> tuple[int, int]:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return pages - free, free

    def _vacuum(self) -> None:
        if pages := vacuum_pages(used=self._used, free=self._free):
            with contextlib.suppress(sqlite3.Error):  # giving pages back can wait; the commit itself has succeeded
                # execute() would take a single step of it, which is a single page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
                self._used, self._free = self._pages()


def _missing(reader: sqlite3.Connection, before: int, id_: int) -> int:
    (missing,) = reader.execute(
        "SELECT coalesce(sum(readings), 0) FROM gaps WHERE last > ? AND first < ?", (before, id_)
    ).fetchone()
    return int(missing)
