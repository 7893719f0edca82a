"""Writing what is left of some segments into a new file, chunk by chunk, and putting that in their place.

Offsets stay: a chunk keeps its first offset and its number of frames; of a frame that is gone an empty entry and the
topic number 0 are left. A chunk of which nothing is left is dropped, unless it says which topics were purged.

Stopped at any point, the log is whole: the new file is written aside, fsynced, and then renamed to a name that says
which offsets it stands for (shelf.py). A segment with damage in it is left as it is, for somebody may want to look.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fieldline.v1 import log_pb2
from fieldline_cloud.hub.engines.segments import files
from fieldline_cloud.hub.engines.segments.chunk import close_chunk, parse_header
from fieldline_cloud.hub.engines.segments.files import ChunkReader
from fieldline_cloud.hub.engines.segments.reader import StoredChunk, walk
from fieldline_cloud.hub.engines.segments.shelf import Segment, Shelf
from fieldline_cloud.hub.engines.segments.tally import OpenTally

__all__ = ["Shows", "rewrite"]

Shows = Callable[[int, int], bool]
"""Whether the frame of this topic number at this offset is to be kept."""


def rewrite(shelf: Shelf, old: Sequence[Segment], end_offset: int, shows: Shows) -> tuple[Segment, Path] | None:
    """Write what is left of neighbouring segments aside; they stand for the offsets below `end_offset`.

    Returns the segment that is to replace them, and the file it is in until then. None if they are to stay: they are
    damaged, or nothing is left of them. Raises OSError, and then nothing is left behind.
    """
    new = Segment(shelf.folder, old[0].first_offset, end_offset=end_offset)
    aside = new.path.with_suffix(".new")
    try:
        with aside.open("wb") as file:
            for segment in old:
                for chunk in _chunks(shelf, segment):
                    _take(new, file.fileno(), chunk, shows)
            os.fsync(file.fileno())
        if new.index.first_ms is not None and not any(shelf.is_damaged(segment) for segment in old):
            return new, aside
    except BaseException:
        _discard(aside)
        raise
    _discard(aside)
    return None


def _discard(aside: Path) -> None:
    with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)


def _chunks(shelf: Shelf, segment: Segment) -> Iterator[StoredChunk]:
    with segment.opened() as fd:
        yield from walk(shelf, segment, ChunkReader(fd, segment.size), 0)


def _take(new: Segment, fd: int, chunk: StoredChunk, shows: Shows) -> None:
    """Write what is left of one chunk to the end of the new file."""
    header, meta, body = chunk.header, chunk.meta(), chunk.body()
    left = [
        number if number and shows(number, offset) else 0
        for offset, number in enumerate(meta.topics, header.first_offset)
    ]
    if not any(left) and not meta.purges:
        return
    if left != list(meta.topics):
        body = [delivery if number else b"" for number, delivery in zip(left, body, strict=True)]
        meta = _meta_left(meta, left)
    parts = close_chunk(first_offset=header.first_offset, deliveries=body, meta=meta, stored_ms=header.stored_ms)
    files.write_all(fd, parts)
    written = parse_header(parts[0])
    assert written is not None
    if new.tally is None:
        new.tally = OpenTally()
    assert isinstance(new.tally, OpenTally)
    new.tally.add(header.first_offset, left, body)
    if any(left):
        new.index.note(written, new.size)
    new.size += written.size


def _meta_left(meta: log_pb2.ChunkMeta, left: Sequence[int]) -> log_pb2.ChunkMeta:
    kept = log_pb2.ChunkMeta()
    kept.CopyFrom(meta)
    kept.ClearField("topics")
    kept.topics.extend(left)
    kept.ClearField("frames")
    kept.frames.extend(mark for mark in meta.frames if left[mark.index])
    return kept
