"""The segment log as an engine. See engines.base.Engine for the contract of each method.

    <folder>/00000000000000000000.log    chunks, appended and fdatasynced one commit at a time (chunk.py)
    <folder>/00000000000000123456.log    the next segment; its name is the offset of its first frame
    <folder>/state                       topics, producers and cursors as of the newest segment's beginning
    <folder>/lock                        held while a hub has the log open

A start reads the state and the newest segment. A chunk that was cut by a power loss is cut off there; it was never
acknowledged. Damage that lies before good chunks is left in place, skipped and reported.
"""

import contextlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fieldline.errors import DecodeError
from fieldline.v1 import log_pb2
from fieldline_cloud.hub.core.group import Group
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import Append, Appended, Chunk, LogStatistics, ProducerKey, StorageError
from fieldline_cloud.hub.engines.segments import files
from fieldline_cloud.hub.engines.segments.chunk import (
    ChunkHeader,
    close_chunk,
    open_body,
    open_meta,
    parse_header,
    verify,
)
from fieldline_cloud.hub.engines.segments.state import LogMarks, meta_of

__all__ = ["SEGMENT_BYTES", "SegmentEngine"]

log = logging.getLogger(__name__)

# Big enough that a new file is rare, small enough that retention is fine-grained and a start is quick (about 20 ms).
SEGMENT_BYTES = 32 << 20
_SCAN_BYTES = 16 << 20  # read in one call when little matches
_HINTS_MAX = 4096
_FETCH_BYTES = 64 << 10  # looked at in one go for single frames
_FETCH_GAP = 16  # offsets this close to each other are read together


class SegmentEngine:
    """A log in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._now_ms = now_ms
        self._hints: OrderedDict[int, tuple[int, int]] = OrderedDict()  # offset: (segment's first offset, position)
        self._hints_lock = threading.Lock()
        self._broken = ""
        self._damage: set[tuple[int, int]] = set()  # (segment's first offset, position) of what was reported
        self.damaged_bytes = 0
        self._lock = files.lock_folder(folder)
        with _translated(folder, "opened"):
            try:
                self._recover()
            except BaseException:
                os.close(self._lock)
                raise

    def _recover(self) -> None:
        try:
            state = files.load_state(self._folder / "state")
            self._marks = LogMarks.from_proto(state) if state else LogMarks()
        except DecodeError as error:
            raise StorageError(f"log cannot be opened: {error}; restore that file from a backup") from error
        self._segments = files.list_segments(self._folder)
        if not self._segments:
            self._segments = [self._create(self._marks.next_offset)]
        self._fd = os.open(self._segments[-1].path, os.O_RDWR | os.O_APPEND)
        for segment in self._segments:
            if segment.first_offset >= self._marks.next_offset or segment is self._segments[-1]:
                self._recover_segment(segment)

    def _recover_segment(self, segment: files.Segment) -> None:
        """Read a segment the saved state does not know yet; cut a torn end off the newest."""
        with _opened(segment) as fd:
            reader = files.ChunkReader(fd, segment.size)
            position = 0
            while position < segment.size:
                chunk = reader.at(position)
                if chunk is None or not verify(chunk[1], chunk[2], chunk[0]):
                    following = reader.resync(position + 1)
                    if following is None:
                        self._cut(segment, position)
                        return
                    self._report_damage(segment, position, following)
                    position = following
                    continue
                header, data, place = chunk
                meta = open_meta(data, place, header)
                self._marks.apply(meta, header.next_offset)
                if self._marks.unknown_topics(meta):  # the chunk that named them was damaged
                    self._marks.learn_topics(meta, open_body(data, place, header))
                segment.note(header, position)
                position += header.size

    def _cut(self, segment: files.Segment, position: int) -> None:
        torn = segment.size - position
        if segment is not self._segments[-1]:
            self._report_damage(segment, position, segment.size)
            return
        log.warning("log %s: cut %d bytes of an unfinished commit off its end", segment.path, torn)
        os.ftruncate(self._fd, position)
        os.fsync(self._fd)
        segment.size = position

    def _report_damage(self, segment: files.Segment, begin: int, end: int) -> None:
        if (segment.first_offset, begin) in self._damage:
            return
        self._damage.add((segment.first_offset, begin))
        self.damaged_bytes += end - begin
        log.error("log %s: bytes %d to %d are damaged; the frames there are lost", segment.path, begin, end)

    def commit(self, appends: Sequence[Append], marks: Mapping[str, DurableMark]) -> list[Appended]:
        """Store and fdatasync one group."""
        known = self._marks
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
            with _translated(self._folder, "written"):
                self._write(group, news)
        else:
            known.note_producers(group)
        return results

    def adopt(self, producer: ProducerKey, sequence: int) -> None:
        """In memory; the producer's next frame takes it to the disk."""
        if sequence > self.last_sequence(producer):
            self._marks.producers.pop(producer, None)
            self._marks.producers[producer] = (sequence, self._now_ms())

    def _write(self, group: Group, marks: Sequence[DurableMark]) -> None:
        now_ms = group.now_ms
        meta = meta_of(group, marks)
        parts = close_chunk(first_offset=group.first_offset, deliveries=group.deliveries, meta=meta, stored_ms=now_ms)
        self._mend()
        if self._segments[-1].size >= self._segment_bytes and self._newest_has_frames:
            self._roll()
        segment = self._segments[-1]
        try:
            files.write_all(self._fd, parts)
            os.fdatasync(self._fd)
        except OSError as error:
            self._broken = error.strerror or str(error)
            with contextlib.suppress(OSError):
                self._mend()
            raise
        header = parse_header(parts[0])
        assert header is not None
        segment.note(header, segment.size)
        self._marks.apply(meta, group.next_offset)
        segment.size += header.size  # last: readers go no further than this

    def _mend(self) -> None:
        """Take the remains of a failed commit away. While that fails nothing can be written; it is tried every time."""
        if self._broken:
            os.ftruncate(self._fd, self._segments[-1].size)
            os.fsync(self._fd)
            self._broken = ""

    def _roll(self) -> None:
        """Begin the next segment. The state is saved first, so that a start never reads more than one segment."""
        files.save_state(self._folder / "state", self._marks.to_proto())
        segment = self._create(self._marks.next_offset)
        fd = os.open(segment.path, os.O_RDWR | os.O_APPEND)
        os.close(self._fd)
        self._fd = fd
        self._segments = [*self._segments, segment]

    def _create(self, first_offset: int) -> files.Segment:
        segment = files.Segment(self._folder, first_offset)
        os.close(os.open(segment.path, os.O_RDWR | os.O_CREAT, 0o644))
        files.sync_folder(self._folder)
        return segment

    def read(self, start: int, wanted: Callable[[str], bool], *, bytes_max: int) -> Chunk:
        """Records from `start` on; a big stretch without a match ends early with its `next_offset`."""
        scan = _Scan(start, wanted, self._marks.topic_names, bytes_max)
        segments = self._segments
        place = max(0, sum(segment.first_offset <= start for segment in segments) - 1)
        with _translated(self._folder, "read"):
            for segment in segments[place:]:
                scan.position = max(scan.position, segment.first_offset)  # what came before is trimmed or damaged
                self._read_segment(segment, scan)
                if scan.is_full:
                    break
        return Chunk(scan.records, scan.position)

    def _read_segment(self, segment: files.Segment, scan: "_Scan") -> None:
        end = segment.size
        position = self._begin(segment, scan.position)
        try:
            with _opened(segment) as fd:
                reader = files.ChunkReader(fd, end)
                while position < end and not scan.is_full:
                    position = self._read_chunk(segment, reader, position, scan)
        except FileNotFoundError:
            return  # retention was quicker
        with self._hints_lock:
            self._hints[scan.position] = (segment.first_offset, position)
            while len(self._hints) > _HINTS_MAX:
                self._hints.popitem(last=False)

    def _begin(self, segment: files.Segment, offset: int) -> int:
        with self._hints_lock:
            hint = self._hints.pop(offset, None)
        if hint is not None and hint[0] == segment.first_offset and hint[1] <= segment.size:
            return hint[1]
        return segment.near(offset)

    def _read_chunk(self, segment: files.Segment, reader: files.ChunkReader, position: int, scan: "_Scan") -> int:
        """Take in the chunk at `position`; returns where the next one begins."""
        chunk = reader.at(position)
        if chunk is not None and chunk[0].next_offset <= scan.position:
            return position + chunk[0].size  # before what is asked for
        if chunk is None or not verify(chunk[1], chunk[2], chunk[0]):
            following = reader.resync(position + 1) or segment.size
            self._report_damage(segment, position, following)
            return following
        header, data, place = chunk
        scan.take(header, open_meta(data, place, header), lambda: open_body(data, place, header))
        return position + header.size

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

    def fetch(self, offsets: Sequence[int]) -> list[Record]:
        """One look into the log for each run of offsets that lie together."""
        found: list[Record] = []
        for begin, end in _runs(offsets):
            position = begin
            while position < end:
                chunk = self.read(position, lambda _: True, bytes_max=_FETCH_BYTES)
                found += [record for record in chunk.records if record.offset < end]
                if chunk.next_offset == position:
                    break
                position = chunk.next_offset
        wanted = set(offsets)
        return [record for record in found if record.offset in wanted]

    def topics(self) -> Sequence[str]:
        """From memory."""
        return list(self._marks.topic_ids)

    def trim(self, *, bytes_max: int, before_ms: int) -> int:
        """Remove whole segments from the old end; the newest goes too, once all of it must."""
        frames = 0
        with _translated(self._folder, "trimmed"):
            while self._oldest_must_go(bytes_max, before_ms):
                if len(self._segments) == 1:
                    self._mend()
                    self._roll()
                oldest, following = self._segments[0], self._segments[1]
                self._segments = self._segments[1:]
                oldest.path.unlink()
                files.sync_folder(self._folder)
                frames += following.first_offset - oldest.first_offset
        return frames

    def _oldest_must_go(self, bytes_max: int, before_ms: int) -> bool:
        if len(self._segments) == 1 and not self._newest_has_frames:
            return False
        return self._frames_bytes > bytes_max or _newest_ms(self._segments[0]) < before_ms

    @property
    def _newest_has_frames(self) -> bool:
        """Whether the newest segment holds more than moved cursors; one that does not keeps its name, and so stays."""
        return self._segments[-1].first_offset < self._marks.next_offset

    @property
    def _frames_bytes(self) -> int:
        segments = self._segments if self._newest_has_frames else self._segments[:-1]
        return sum(segment.size for segment in segments)

    def statistics(self) -> LogStatistics:
        """From memory."""
        segments = self._segments
        file_bytes = sum(segment.size for segment in segments)
        return LogStatistics(segments[0].first_offset, self._marks.next_offset, self._frames_bytes, file_bytes)

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        if self._lock >= 0:
            os.close(self._fd)
            os.close(self._lock)
            self._lock = -1


class _Scan:
    """What a read has found so far."""

    def __init__(
        self, start: int, wanted: Callable[[str], bool], topic_names: Mapping[int, str], bytes_max: int
    ) -> None:
        self.position = start
        self.records: list[Record] = []
        self._wanted = wanted
        self._names = topic_names
        self._verdicts: dict[int, bool] = {}
        self._found_bytes_left = bytes_max
        self._scan_bytes_left = max(bytes_max, _SCAN_BYTES)

    @property
    def is_full(self) -> bool:
        """Whether enough was found, or enough was looked at."""
        return self._found_bytes_left <= 0 or self._scan_bytes_left <= 0

    def take(self, header: ChunkHeader, meta: log_pb2.ChunkMeta, body: Callable[[], Sequence[bytes]]) -> None:
        """A chunk that holds frames at or after the position."""
        self._scan_bytes_left -= header.size
        topics = meta.topics
        if any(self._wants(number) for number in set(topics)):
            offset = header.first_offset
            extras = {mark.index: mark for mark in meta.frames}
            for index, (number, delivery) in enumerate(zip(topics, body(), strict=True)):
                if offset >= self.position and self._wants(number):
                    extra = extras.get(index)
                    key, expires_ms = (extra.key, extra.expires_ms) if extra else ("", 0)
                    self.records.append(Record(offset, self._names[number], delivery, key=key, expires_ms=expires_ms))
                    self._found_bytes_left -= len(delivery)
                offset += 1
        self.position = header.next_offset

    def _wants(self, number: int) -> bool:
        verdict = self._verdicts.get(number)
        if verdict is None:
            verdict = self._verdicts[number] = self._wanted(self._names[number])
        return verdict


def _runs(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending offsets as (begin, end) pieces, close ones together."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and offset - runs[-1][1] < _FETCH_GAP:
            runs[-1] = (runs[-1][0], offset + 1)
        else:
            runs.append((offset, offset + 1))
    return runs


def _newest_ms(segment: files.Segment) -> int:
    """When the last chunk of a segment was stored."""
    newest_ms = 0
    with _opened(segment) as fd:
        reader, position = files.ChunkReader(fd, segment.size), segment.near(1 << 63)
        while chunk := reader.at(position):
            newest_ms = chunk[0].stored_ms
            position += chunk[0].size
    return newest_ms


class _opened:
    """A segment's file for reading, closed again."""

    def __init__(self, segment: files.Segment) -> None:
        self._path = segment.path

    def __enter__(self) -> int:
        self._fd = os.open(self._path, os.O_RDONLY)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


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
