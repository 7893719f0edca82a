"""Reads what can be read of a damaged spool file: frames whose checksum is right, under the numbering they had.

SQLite gives up a query at the first broken page. So rows are asked for in order, and where that fails, from the first
id behind the broken place that answers.
"""

import contextlib
import logging
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import DecodeError

from fieldline.v1 import hub_pb2
from fieldline_edge.spool import schema
from fieldline_edge.spool.chunks import Chunk, Part, pack, parts
from fieldline_edge.spool.lanes import URGENT_BASE, Lane, lane_of
from fieldline_edge.spool.policy import State, with_sequence
from fieldline_edge.spool.tables import load_lanes, load_numbers

__all__ = ["Salvage"]

log = logging.getLogger(__name__)

_RANGES = ((0, URGENT_BASE), (URGENT_BASE, (1 << 63) - 1))


class Salvage:
    """A spool file, damaged or not, opened without writing to it. Every method answers with what it could read."""

    def __init__(self, path: Path, *, how: str = "mode=ro") -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._how = how
        self._state: State | None = None
        self._last = [0, URGENT_BASE]  # youngest id of readings and of alarms
        self._known: Sequence[Lane] | None = None
        self._is_numbering_lost = False
        self.frames = 0
        self.holes = 0
        """Places at which rows could not be read."""

    def __enter__(self) -> Self:
        try:
            self._connection = schema.connect_read_only(self._path, how=self._how)
            (self._version,) = self._connection.execute("PRAGMA user_version").fetchone()
            self._columns = "sequence, span, at_ns, readings, frames, missing, frame, crc32"
            self._table = "chunks"
            if self._version == 1:
                self._columns = "sequence, 0, at_ns, readings, 1, 0, frame, crc32"
                self._table = "frames"
            self._look()
        except sqlite3.Error as error:
            log.warning(
                "nothing can be read of the damaged spool", extra={"reason": str(error), "file": str(self._path)}
            )
            self._leave()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read meanwhile is of one moment, whatever the gateway goes on writing."""
        if self._connection is not None:
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @property
    def state(self) -> State | None:
        """The numbers of the file, without its lanes; None if they cannot be read."""
        return self._state

    @property
    def next_sequence(self) -> int:
        """The first id of readings that is surely free."""
        return max(self._last[0] + 1, self._state.next_sequence if self._state else 1)

    @property
    def urgent_next(self) -> int:
        """The first id of alarms that is surely free."""
        return max(self._last[1] + 1, self._state.urgent_next if self._state else URGENT_BASE + 1)

    def lanes(self) -> Sequence[Lane]:
        """The file's lanes, closed: what is lost of their end must not be given to other frames.

        Empty if nothing can be read at all.
        """
        if self._connection is None:
            return ()
        return [
            replace(lane, last=(self.urgent_next if lane.is_urgent else self.next_sequence) - 1)
            if lane.last is None
            else lane
            for lane in self._lanes()
        ]

    def _lanes(self) -> Sequence[Lane]:
        if self._known is None:
            self._known = self._read_lanes()
        return self._known

    def _read_lanes(self) -> Sequence[Lane]:
        assert self._connection is not None
        try:
            if self._version != 1:
                return load_lanes(self._connection)
            epoch, acked = self._connection.execute("SELECT epoch, acked_sequence FROM state").fetchone()
            return [Lane(1, epoch, 1, None, acked)]
        except (sqlite3.Error, TypeError):
            self._is_numbering_lost = True
            log.warning("the numbering of the damaged spool is lost; what the hub has of it already it may store again")
            return [
                Lane(1, schema.new_epoch(), 1, None, 0),
                Lane(2, schema.new_epoch(), URGENT_BASE + 1, None, URGENT_BASE),
            ]

    def gaps(self) -> list[tuple[int, int, int]]:
        """(first, last, readings) of gaps that were counted before the damage."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                return self._connection.execute("SELECT first, last, readings FROM gaps").fetchall()
        return []

    def chunks(self) -> Iterator[Chunk]:
        """Rows whose checksum and number are right, in order of their ids."""
        for begin, end in _RANGES:
            before = begin
            for row in self._rows(self._columns, begin, end):
                chunk = self._checked(row)
                if chunk is None or chunk.first <= before:
                    self.holes += 1
                    continue
                before = chunk.last
                self.frames += chunk.frames
                yield chunk

    def say(self, frames: int, readings: int) -> None:
        """Tell the log what has been saved."""
        expected = self._state.frames if self._state else None
        log.warning(
            "frames of the damaged spool were saved",
            extra={"frames": frames, "readings": readings, "of_frames": expected},
        )

    def _look(self) -> None:
        assert self._connection is not None
        with contextlib.suppress(sqlite3.Error, TypeError):
            self._state = load_numbers(self._connection, self._version)
            return
        for which, (begin, end) in enumerate(_RANGES):
            for (last,) in self._rows("sequence", begin, end):
                self._last[which] = max(self._last[which], last)

    def _rows(self, columns: str, begin: int, end: int) -> Iterator[tuple[Any, ...]]:
        after: int | None = begin
        while after is not None and self._connection is not None:
            try:
                cursor = self._connection.execute(
                    f"SELECT {columns} FROM {self._table} WHERE sequence > ? AND sequence < ? ORDER BY sequence",
                    (after, end),
                )
                for row in cursor:
                    yield row
                    after = row[0]
                return
            except sqlite3.Error:
                self.holes += 1
                after = self._behind(after, end)

    def _behind(self, after: int, end: int) -> int | None:
        """The smallest id from which rows can be read again; None if there is none."""
        bad, step = 0, 1
        while not self._answers(after + step, end):
            bad, step = step, step * 2
            if after + step >= end:
                return None
        while step - bad > 1:
            middle = (bad + step) // 2
            if self._answers(after + middle, end):
                step = middle
            else:
                bad = middle
        return after + step

    def _answers(self, after: int, end: int) -> bool:
        assert self._connection is not None
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute(
                f"SELECT {self._columns} FROM {self._table}"
                " WHERE sequence > ? AND sequence < ? ORDER BY sequence LIMIT 1",
                (after, end),
            ).fetchone()
            return True
        return False

    def _checked(self, row: tuple[Any, ...]) -> Chunk | None:
        try:
            chunk = Chunk(*row[:7])
            if zlib.crc32(chunk.blob) != row[7]:
                return None
            found = list(parts(chunk.blob, chunk.last, chunk.span))
            lane = lane_of(self._lanes(), chunk.last)
            if lane is None or found[-1].id != chunk.last:
                return None
            if self._is_numbering_lost:
                return _renumbered(chunk, found, lane)
            right = hub_pb2.Frame.FromString(found[-1].frame).sequence == chunk.last - lane.base
            return chunk if right else None
        except (TypeError, ValueError, DecodeError):  # a row of a broken page can hold anything
            return None

    def _leave(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _renumbered(chunk: Chunk, found: Sequence[Part], lane: Lane) -> Chunk:
    """The frames with the sequences of a new numbering: of a field that is there twice the last one counts."""
    again = [replace(part, frame=with_sequence(part.frame, part.id - lane.base)) for part in found]
    return replace(chunk, span=max(chunk.span, 1), blob=pack(again))
