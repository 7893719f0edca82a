"""Reading the log: from an offset on, single frames, the last of each topic, and where a time begins.

Any thread may read at any time. A read that meets a segment that was just rewritten goes on in the new file.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

from fieldline.v1 import log_pb2
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import Chunk
from fieldline_cloud.hub.engines.segments.chunk import ChunkHeader, open_body, open_meta, verify
from fieldline_cloud.hub.engines.segments.files import ChunkReader
from fieldline_cloud.hub.engines.segments.floors import Floors
from fieldline_cloud.hub.engines.segments.shelf import Replaced, Segment, Shelf
from fieldline_cloud.hub.engines.segments.state import LogMarks

__all__ = ["LogReader", "StoredChunk", "walk"]

_SCAN_BYTES = 16 << 20  # read in one call when little matches
_HINTS_MAX = 4096
_FETCH_BLOCK_BYTES = 128 << 10  # looked at in one go for single frames


class StoredChunk:
    """A chunk whose CRC holds, and where the next one begins."""

    __slots__ = ("_data", "_place", "header", "position")

    def __init__(self, header: ChunkHeader, data: bytes, place: int, position: int) -> None:
        self.header = header
        self.position = position
        """Where it begins in its file."""
        self._data = data
        self._place = place

    def meta(self) -> log_pb2.ChunkMeta:
        """What it says beside its frames."""
        return open_meta(self._data, self._place, self.header)

    def body(self) -> Sequence[bytes]:
        """Its serialised deliveries; those of frames that are gone are empty."""
        return open_body(self._data, self._place, self.header)


def walk(
    shelf: Shelf, segment: Segment, reader: ChunkReader, position: int, *, after_offset: int = 0
) -> Iterator[StoredChunk]:
    """The chunks from `position` on that hold anything at or after `after_offset`; damage is reported and skipped."""
    while position < reader.end:  # not the segment's size, which may have grown since
        found = reader.at(position)
        if found is not None and found[0].next_offset < after_offset:
            position += found[0].size  # not worth its CRC
        elif found is None or not verify(found[1], found[2], found[0]):
            following = reader.resync(position + 1) or reader.end
            shelf.report_damage(segment, position, following)
            position = following
        else:
            yield StoredChunk(*found, position)
            position += found[0].size


class LogReader:
    """Reads what is committed."""

    def __init__(self, shelf: Shelf, marks: LogMarks) -> None:
        self._shelf = shelf
        self._marks = marks
        self._hints: OrderedDict[int, tuple[Segment, int]] = OrderedDict()  # offset: segment, position in it
        self._hints_lock = threading.Lock()

    def read(self, start: int, wanted: Callable[[str], bool], *, bytes_max: int) -> Chunk:
        """Records from `start` on; a big stretch without a match ends early with its `next_offset`."""
        scan = _Scan(start, wanted, self._marks.topic_names, self._marks.floors, bytes_max)
        segments = self._shelf.segments
        while True:
            try:
                for segment in segments[_place(segments, scan.position) :]:
                    scan.position = max(scan.position, segment.first_offset)  # what came before is gone or damaged
                    self._read_segment(segment, scan)
                    if scan.is_full:
                        break
            except Replaced as replaced:
                segments = self._shelf.after(replaced)
            else:
                return Chunk(scan.records, scan.position)

    def _read_segment(self, segment: Segment, scan: "_Scan") -> None:
        position = self._begin(segment, scan.position)
        with segment.opened() as fd:
            reader = ChunkReader(fd, segment.size)
            for chunk in walk(self._shelf, segment, reader, position, after_offset=scan.position + 1):
                scan.take(chunk)
                position = chunk.position + chunk.header.size
                if scan.is_full:
                    break
        with self._hints_lock:
            self._hints[scan.position] = (segment, position)
            while len(self._hints) > _HINTS_MAX:
                self._hints.popitem(last=False)

    def _begin(self, segment: Segment, offset: int) -> int:
        with self._hints_lock:
            hint = self._hints.pop(offset, None)
        if hint is not None and hint[0] is segment:
            return hint[1]
        segment.read_index()
        return segment.index.near(offset)

    def fetch(self, offsets: Sequence[int]) -> list[Record]:
        """The records at these ascending offsets, each segment opened once."""
        found: list[Record] = []
        segments, place = self._shelf.segments, 0
        while place < len(offsets):
            here = _place(segments, offsets[place])
            end_offset = segments[here + 1].first_offset if here + 1 < len(segments) else 1 << 64
            end = place
            while end < len(offsets) and offsets[end] < end_offset:
                end += 1
            try:
                found += self._fetch_from(segments[here], offsets[place:end])
            except Replaced as replaced:
                segments = self._shelf.after(replaced)
            else:
                place = end
        return found

    def _fetch_from(self, segment: Segment, offsets: Sequence[int]) -> list[Record]:
        found: list[Record] = []
        segment.read_index()
        position = next_offset = 0
        with segment.opened() as fd:
            reader = ChunkReader(fd, segment.size, block_bytes=_FETCH_BLOCK_BYTES)
            for offset in offsets:
                if offset < next_offset:
                    continue  # of a chunk that was looked at, and taken with it
                position = max(position, segment.index.near(offset))
                chunk = next(walk(self._shelf, segment, reader, position, after_offset=offset + 1), None)
                if chunk is None:
                    break
                found += self._picked(chunk, offsets)
                position, next_offset = chunk.position + chunk.header.size, chunk.header.next_offset
        return found

    def _picked(self, chunk: StoredChunk, offsets: Sequence[int]) -> list[Record]:
        begin = bisect_right(offsets, chunk.header.first_offset - 1)
        wanted = set(offsets[begin : bisect_right(offsets, chunk.header.next_offset - 1)])
        if not wanted:
            return []
        scan = _Scan(min(wanted), lambda _: True, self._marks.topic_names, self._marks.floors, 1 << 40)
        scan.take(chunk)
        return [record for record in scan.records if record.offset in wanted]

    def last_values(self, wanted: Callable[[str], bool]) -> list[Record]:
        """The newest frame of every wanted topic that may still be given, in offset order."""
        floors, names = self._marks.floors, self._marks.topic_names
        offsets = [
            end - 1
            for topic, end in list(self._marks.end_offsets.items())
            if floors.shows(topic, end - 1) and wanted(names[topic])
        ]
        return self.fetch(sorted(offsets))

    def offset_since(self, time_ms: int) -> int:
        """The first offset stored at or after that time; the log's end if there is none."""
        segments = self._shelf.segments
        while True:
            try:
                end_offset = self._marks.next_offset
                return self._offset_since([one for one in segments if one.first_offset < end_offset], time_ms)
            except Replaced as replaced:
                segments = self._shelf.after(replaced)

    def _offset_since(self, segments: Sequence[Segment], time_ms: int) -> int:
        low, high = 0, len(segments)  # the first segment that begins at or after that time
        while low < high:
            middle = (low + high) // 2
            if self._first_ms(segments[middle]) < time_ms:
                low = middle + 1
            else:
                high = middle
        for segment in segments[max(0, low - 1) :]:
            with segment.opened() as fd:
                reader = ChunkReader(fd, segment.size, block_bytes=_FETCH_BLOCK_BYTES)
                for chunk in walk(self._shelf, segment, reader, segment.index.near_time(time_ms)):
                    if chunk.header.frames and chunk.header.stored_ms >= time_ms:
                        return chunk.header.first_offset
        return self._marks.next_offset

    def _first_ms(self, segment: Segment) -> int:
        if segment.index.first_ms is None and not segment.read_index():
            with segment.opened() as fd:
                reader = ChunkReader(fd, segment.size, block_bytes=_FETCH_BLOCK_BYTES)
                for chunk in walk(self._shelf, segment, reader, 0):
                    segment.index.note(chunk.header, chunk.position)
                    if chunk.header.frames:
                        break
        return segment.index.first_ms or 0


class _Scan:
    """What a read has found so far."""

    def __init__(
        self,
        start: int,
        wanted: Callable[[str], bool],
        topic_names: Mapping[int, str],
        floors: Floors,
        bytes_max: int,
    ) -> None:
        self.position = start
        self.records: list[Record] = []
        self._wanted = wanted
        self._names = topic_names
        self._floors = floors
        self._verdicts: dict[int, bool] = {0: False}  # frames that are gone
        self._found_bytes_left = bytes_max
        self._scan_bytes_left = max(bytes_max, _SCAN_BYTES)

    @property
    def is_full(self) -> bool:
        """Whether enough was found, or enough was looked at."""
        return self._found_bytes_left <= 0 or self._scan_bytes_left <= 0

    def take(self, chunk: StoredChunk) -> None:
        """A chunk that may hold frames at or after the position."""
        header, meta = chunk.header, chunk.meta()
        self._scan_bytes_left -= header.size
        topics = meta.topics
        if header.next_offset > self.position and any(self._wants(number) for number in set(topics)):
            offset, hides = header.first_offset, self._floors.hides_at(header.first_offset)
            extras = {mark.index: mark for mark in meta.frames}
            for index, (number, delivery) in enumerate(zip(topics, chunk.body(), strict=True)):
                shown = not hides or self._floors.shows(number, offset)
                if shown and offset >= self.position and self._wants(number):
                    extra = extras.get(index)
                    key, expires_ms = (extra.key, extra.expires_ms) if extra else ("", 0)
                    self.records.append(Record(offset, self._names[number], delivery, key=key, expires_ms=expires_ms))
                    self._found_bytes_left -= len(delivery)
                offset += 1
        self.position = max(self.position, header.next_offset)

    def _wants(self, number: int) -> bool:
        verdict = self._verdicts.get(number)
        if verdict is None:
            verdict = self._verdicts[number] = self._wanted(self._names[number])
        return verdict


def _place(segments: Sequence[Segment], offset: int) -> int:
    """Which segment an offset is in, if it is in any."""
    return max(0, bisect_right(segments, offset, key=lambda one: one.first_offset) - 1)
