"""The segment log as an engine. See engines.base.Engine for the contract of each method.

    <folder>/00000000000000000000.log    chunks, appended and fdatasynced one commit at a time (chunk.py)
    <folder>/00000000000000123456.log    the next segment; its name is the offset of its first frame (shelf.py)
    <folder>/00000000000000000000.idx    where what is in a segment; made anew if it is lost (index.py)
    <folder>/state                       topics, producers and cursors as of the newest segment's beginning
    <folder>/lock                        held while a hub has the log open

A start reads the state and the newest segment. A chunk that was cut by a power loss is cut off there; it was never
acknowledged. The newest segment has space reserved behind its last chunk, all zeros, which a start takes off without a
word. Damage that lies before good chunks is left in place, skipped and reported. What is kept is fsynced before
anything is said about it: a hub that was killed may have left it in the page cache alone.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from fieldline.errors import DecodeError
from fieldline.v1 import log_pb2
from fieldline_cloud.hub.core.group import Group
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    Chunk,
    LogStatistics,
    ProducerKey,
    Retained,
    RetentionRules,
    StorageError,
)
from fieldline_cloud.hub.engines.segments import backup, files
from fieldline_cloud.hub.engines.segments.chunk import close_chunk, open_body, open_meta, parse_header, verify
from fieldline_cloud.hub.engines.segments.keeper import Keeper
from fieldline_cloud.hub.engines.segments.reader import LogReader
from fieldline_cloud.hub.engines.segments.shelf import Segment, Shelf
from fieldline_cloud.hub.engines.segments.state import LogMarks, meta_of, meta_of_purges
from fieldline_cloud.hub.engines.segments.tally import OpenTally

__all__ = ["RESERVE_BYTES", "SEGMENT_BYTES", "SegmentEngine"]

log = logging.getLogger(__name__)

# Big enough that a new file is rare, small enough that retention is fine-grained and a start is quick (about 20 ms).
SEGMENT_BYTES = 32 << 20
# Space the newest file has beyond what is written. A commit inside it leaves the length of the file alone, which saves
# `fdatasync` a third of its time or more on ext4.
RESERVE_BYTES = 4 << 20
_CLOCK_BACK_MS = 60_000  # a clock set back by more is worth a line in the log


class SegmentEngine:
    """A log in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = 0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._reserved = 0  # up to here the newest file has space
        self._clock_ms = now_ms
        self._last_ms = 0
        self._clock_is_back = False
        self._broken = ""
        self._held_bytes = 0
        self._writing = threading.RLock()
        self._lock = files.lock_folder(folder)
        with _translated(folder, "opened"):
            try:
                self._recover()
            except BaseException:
                os.close(self._lock)
                raise
        self._reader = LogReader(self._shelf, self._marks)
        self._keeper = Keeper(
            self._shelf,
            self._marks,
            self._reader,
            segment_bytes=segment_bytes,
            locked=self._writing,
            mark=self._write_floors,
            roll=self._roll,
        )

    def _recover(self) -> None:
        try:
            state = files.load_state(self._folder / "state")
            self._marks = LogMarks.from_proto(state) if state else LogMarks()
        except DecodeError as error:
            raise StorageError(f"log cannot be opened: {error}; restore that file from a backup") from error
        shelf = self._shelf = Shelf(self._folder)
        if not shelf.segments:
            shelf.append(shelf.create(self._marks.next_offset))
        self._fd = os.open(shelf.newest.path, os.O_RDWR)
        for segment in shelf.segments:
            if segment.first_offset >= self._marks.next_offset or segment is shelf.newest:
                self._recover_segment(segment)
        self._last_ms = max([segment.index.last_ms for segment in shelf.segments] + [self._marks.heard_ms])
        os.fdatasync(self._fd)
        files.sync_folder(self._folder)

    def _recover_segment(self, segment: Segment) -> None:
        """Read a segment the saved state does not know yet; cut a torn end off the newest."""
        tally = segment.tally = OpenTally()
        with segment.opened() as fd:
            reader = files.ChunkReader(fd, segment.size)
            position = 0
            while position < segment.size:
                chunk = reader.at(position)
                if chunk is None or not verify(chunk[1], chunk[2], chunk[0]):
                    if reader.is_empty_from(position):
                        self._drop_reserve(segment, position)
                        return
                    following = reader.resync(position + 1)
                    if following is None:
                        self._cut(segment, position)
                        return
                    self._shelf.report_damage(segment, position, following)
                    position = following
                    continue
                header, data, place = chunk
                meta, body = open_meta(data, place, header), open_body(data, place, header)
                self._marks.apply(meta, header.next_offset)
                if self._marks.unknown_topics(meta):  # the chunk that named them was damaged
                    self._marks.learn_topics(meta, body)
                segment.index.note(header, position)
                tally.add(header.first_offset, meta.topics, body)
                position += header.size

    def _cut(self, segment: Segment, position: int) -> None:
        torn = segment.size - position
        if segment is not self._shelf.newest:
            self._shelf.report_damage(segment, position, segment.size)
            return
        log.warning("log %s: cut %d bytes of an unfinished commit off its end", segment.path, torn)
        os.ftruncate(self._fd, position)
        os.fsync(self._fd)
        segment.size = position

    def _drop_reserve(self, segment: Segment, position: int) -> None:
        """Only zeros follow: space that was reserved when the hub ended without a word."""
        if segment is self._shelf.newest:
            os.ftruncate(self._fd, position)
            os.fsync(self._fd)
        segment.size = position

    def _now_ms(self) -> int:
        """The time to store things under: the clock's, but never before what is stored already."""
        now_ms = self._clock_ms()
        if now_ms < self._last_ms - _CLOCK_BACK_MS and not self._clock_is_back:
            log.warning(
                "the clock stands %d s before what was stored last; frames get that time until it has caught up",
                (self._last_ms - now_ms) // 1000,
            )
        self._clock_is_back = now_ms < self._last_ms - _CLOCK_BACK_MS
        return max(now_ms, self._last_ms)

    def commit(self, appends: Sequence[Append], marks: Mapping[str, DurableMark]) -> list[Appended]:
        """Store and fdatasync one group."""
        known = self._marks
        with self._writing:
            group = Group(
                known.next_offset,
                last_sequence=known.last_sequence,
                topic_ids=known.topic_ids,
                next_topic=known.next_topic,
                now_ms=self._now_ms(),
            )
            results = [group.add(append) for append in appends]
            news = [mark for mark in marks.values() if known.is_news(mark)]
            if group.deliveries or news:
                self._write(group.first_offset, group.deliveries, meta_of(group, news), group.now_ms)
            else:
                known.note_producers(group)
        return results

    def adopt(self, producer: ProducerKey, sequence: int) -> None:
        """In memory; the producer's next frame takes it to the disk."""
        with self._writing:
            if sequence > self.last_sequence(producer):
                self._marks.producers.pop(producer, None)
                self._marks.producers[producer] = (sequence, self._now_ms())

    def _write(self, first_offset: int, deliveries: Sequence[bytes], meta: log_pb2.ChunkMeta, now_ms: int) -> None:
        """Append one chunk, and take in what it says once it is on disk."""
        parts = close_chunk(first_offset=first_offset, deliveries=deliveries, meta=meta, stored_ms=now_ms)
        with _translated(self._folder, "written"):
            self._mend()
            if self._shelf.newest.size >= self._segment_bytes and self._newest_has_frames:
                self._roll()
            try:
                self._reserve(self._shelf.newest.size + sum(map(len, parts)))
                os.lseek(self._fd, self._shelf.newest.size, os.SEEK_SET)
                files.write_all(self._fd, parts)
                os.fdatasync(self._fd)
            except OSError as error:
                self._broken = error.strerror or str(error)
                with contextlib.suppress(OSError):
                    self._mend()
                raise
        header, segment = parse_header(parts[0]), self._shelf.newest
        assert header is not None
        assert isinstance(segment.tally, OpenTally)
        segment.index.note(header, segment.size)
        segment.tally.add(first_offset, meta.topics, deliveries)
        self._last_ms = now_ms
        self._marks.apply(meta, header.next_offset)
        segment.size += header.size  # last: readers go no further than this

    def _write_floors(self, floors: Mapping[int, int]) -> None:
        self._write(self._marks.next_offset, (), meta_of_purges(floors), self._now_ms())

    def _reserve(self, end: int) -> None:
        """Have space up to `end` and some more. A disk that has no more is no error: it may still have enough."""
        if not self._reserve_bytes or end <= self._reserved:
            return
        size = self._shelf.newest.size
        self._reserved = end + self._reserve_bytes  # also where that fails: the next try comes as late
        try:
            os.posix_fallocate(self._fd, size, self._reserved - size)
        except OSError:
            os.ftruncate(self._fd, size)  # it may have got some, and the commit needs that

    def _give_back(self) -> None:
        """Take the reserve off the newest file, for good."""
        if self._reserved:
            os.ftruncate(self._fd, self._shelf.newest.size)
            os.fsync(self._fd)
            self._reserved = 0

    def _mend(self) -> None:
        """Take the remains of a failed commit away. While that fails nothing can be written; it is tried every time."""
        if self._broken:
            os.ftruncate(self._fd, self._shelf.newest.size)
            os.fsync(self._fd)
            self._broken = ""
            self._reserved = 0

    def _roll(self) -> None:
        """Begin the next segment. The state is saved first, so that a start never reads more than one segment."""
        self._mend()
        self._give_back()
        files.save_state(self._folder / "state", self._marks.to_proto())
        segment = self._shelf.create(self._marks.next_offset)
        fd = os.open(segment.path, os.O_RDWR)
        os.close(self._fd)
        self._fd = fd
        full = self._shelf.newest
        self._shelf.append(segment)
        full.save_index()

    def read(self, start: int, wanted: Callable[[str], bool], *, bytes_max: int) -> Chunk:
        """Records from `start` on; a big stretch without a match ends early with its `next_offset`."""
        with _translated(self._folder, "read"):
            return self._reader.read(start, wanted, bytes_max=bytes_max)

    def fetch(self, offsets: Sequence[int]) -> list[Record]:
        """Each segment is opened once, and read where they are."""
        with _translated(self._folder, "read"):
            return self._reader.fetch(offsets)

    def last_values(self, wanted: Callable[[str], bool]) -> list[Record]:
        """Where they are is known from memory; they are fetched from there."""
        with _translated(self._folder, "read"):
            return self._reader.last_values(wanted)

    def offset_since(self, time_ms: int) -> int:
        """From the indexes, and about 64 KiB of one segment."""
        with _translated(self._folder, "read"):
            return self._reader.offset_since(time_ms)

    def last_sequence(self, producer: ProducerKey) -> int:
        """From memory."""
        return self._marks.last_sequence(producer) or 0

    def cursor(self, durable: str) -> int | None:
        """From memory."""
        found = self._marks.durables.get(durable)
        return found.next_offset if found else None

    def cursors(self) -> Mapping[str, int]:
        """From memory."""
        return {name: mark.next_offset for name, mark in list(self._marks.durables.items())}

    def durables(self) -> Mapping[str, DurableMark]:
        """From memory."""
        return dict(self._marks.durables)

    def topics(self) -> Mapping[str, int]:
        """From memory."""
        ends = self._marks.end_offsets
        return {name: ends.get(number, 0) - 1 for name, number in list(self._marks.topic_ids.items())}

    def retain(self, rules: RetentionRules, *, now_ms: int, hold_offset: int | None = None) -> Retained:
        """What takes long happens beside the writer; see keeper.py."""
        with _translated(self._folder, "trimmed"):
            retained = self._keeper.retain(rules, now_ms, hold_offset)
        self._held_bytes = retained.held_bytes
        return retained

    def purge(self, wanted: Callable[[str], bool], below_offset: int) -> int:
        """One chunk that says so; the files get smaller with the next `retain`."""
        marks = self._marks
        chosen = [number for number, name in list(marks.topic_names.items()) if wanted(name)]
        with self._writing:
            floors = {
                number: min(below_offset, marks.end_offsets[number]) for number in chosen if number in marks.end_offsets
            }
            known = marks.floors  # what hides for now, such as the general floor, does not count: a restart lifts it
            floors = {
                number: floor
                for number, floor in floors.items()
                if floor > known.purged.get(number, 0) or number in known.unwritten
            }
            if floors:
                self._write_floors(floors)
        return len(floors)

    def backup(self) -> Generator[bytes, None, None]:
        """The saved state and the segments: what a start after a crash at this moment would find."""
        with _translated(self._folder, "read"):
            with self._writing:
                made_ms = self._now_ms()
                state_path = self._folder / "state"
                state = state_path.read_bytes() if state_path.exists() else None
                parts = [(segment.path.name, fd, segment.size) for segment, fd in self._shelf.open_all()]
            return backup.stream(state, parts, made_ms)

    @property
    def _newest_has_frames(self) -> bool:
        """Whether the newest segment holds more than moved cursors; one that does not keeps its name, and so stays."""
        return self._shelf.newest.first_offset < self._marks.next_offset

    @property
    def damaged_bytes(self) -> int:
        """Bytes found damaged since the log was opened."""
        return self._shelf.damaged_bytes

    def statistics(self) -> LogStatistics:
        """From memory."""
        segments, floors, next_offset = self._shelf.segments, self._marks.floors, self._marks.next_offset
        first_offset = segments[0].first_offset
        if not floors.exempt:
            first_offset = min(next_offset, max(first_offset, floors.general))
        file_bytes = sum(segment.size for segment in segments)
        return LogStatistics(
            first_offset=first_offset,
            next_offset=next_offset,
            frames_bytes=file_bytes if self._newest_has_frames else file_bytes - segments[-1].size,
            file_bytes=file_bytes,
            damaged_bytes=self._shelf.damaged_bytes,
            held_bytes=self._held_bytes,
        )

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):  # the next start does it
                self._give_back()
            os.close(self._fd)
            os.close(self._lock)
            self._lock = -1


class _translated:
    """The system's errors as StorageError that says which folder, what was tried, and why it failed."""

    def __init__(self, folder: Path, tried: str) -> None:
        self._folder = folder
        self._tried = tried

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise StorageError(
                f"log {self._folder} cannot be {self._tried}: {why}; check disk space and rights"
            ) from error
