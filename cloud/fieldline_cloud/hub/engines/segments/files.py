"""The files of a segment log: appending to one, reading chunks out of one, saving the state beside them."""

import contextlib
import fcntl
import os
import re
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import ConfigError, DecodeError
from fieldline.v1 import log_pb2
from fieldline_cloud.hub.engines.segments.chunk import HEADER_BYTES, MAGIC, ChunkHeader, parse_header, verify

__all__ = ["ChunkReader", "Segment", "list_segments", "load_state", "lock_folder", "save_state", "sync_folder"]

_NAME = re.compile(r"(\d{20})\.log\Z")
_BLOCK_BYTES = 1 << 20
_INDEX_EVERY_BYTES = 64 << 10
_STATE_HEADER = struct.Struct("<4sI")
_STATE_MAGIC = b"FLS1"


class Segment:
    """One file. `size` is what is committed; what lies behind it in the file does not count."""

    def __init__(self, folder: Path, first_offset: int, size: int = 0) -> None:
        self.path = folder / f"{first_offset:020}.log"
        self.first_offset = first_offset
        self.size = size
        self._offsets = array("Q")  # a sparse index: offsets, and where their chunks begin
        self._positions = array("Q")

    def note(self, header: ChunkHeader, position: int) -> None:
        """A chunk stands at `position`; kept in the index if the last entry is far enough away."""
        if header.frames and (not self._positions or position - self._positions[-1] >= _INDEX_EVERY_BYTES):
            self._offsets.append(header.first_offset)
            self._positions.append(position)

    def near(self, offset: int) -> int:
        """Where to begin looking for `offset`: at or before its chunk."""
        place = bisect_right(self._offsets, offset) - 1
        return self._positions[place] if place >= 0 else 0


class ChunkReader:
    """Reads chunks of one open file in blocks, up to `end`."""

    def __init__(self, fd: int, end: int) -> None:
        self._fd = fd
        self._end = end
        self._data = b""
        self._base = 0

    def at(self, position: int) -> tuple[ChunkHeader, bytes, int] | None:
        """(header, data, where in data) of the chunk at `position`, CRC not checked; None if none is there."""
        self._hold(position, HEADER_BYTES)
        header = parse_header(self._data, position - self._base)
        if header is None or position + header.size > self._end:
            return None
        self._hold(position, header.size)
        if position - self._base + header.size > len(self._data):
            return None
        return header, self._data, position - self._base

    def resync(self, position: int) -> int | None:
        """Where the next chunk with a CRC that holds begins, after `position`; None if there is none."""
        while position < self._end:
            self._hold(position, _BLOCK_BYTES)
            found = self._data.find(MAGIC, position - self._base)
            if found < 0:
                position = self._base + max(len(self._data) - len(MAGIC) + 1, 1)
                continue
            position = self._base + found
            chunk = self.at(position)
            if chunk is not None and verify(chunk[1], chunk[2], chunk[0]):
                return position
            position += 1
        return None

    def _hold(self, position: int, size: int) -> None:
        """Have `size` bytes from `position` in the buffer, or what the file has of them."""
        if self._base <= position and position + size <= self._base + len(self._data):
            return
        self._data = os.pread(self._fd, min(max(size, _BLOCK_BYTES), self._end - position), position)
        self._base = position


def list_segments(folder: Path) -> list[Segment]:
    """The segments in a folder, the oldest first."""
    found = []
    for path in folder.iterdir():
        match = _NAME.match(path.name)
        if match:
            found.append(Segment(folder, int(match.group(1)), path.stat().st_size))
    return sorted(found, key=lambda segment: segment.first_offset)


def write_all(fd: int, parts: Sequence[bytes]) -> None:
    """Write the parts one after the other; a disk that takes only some of them is asked again, or raises."""
    waiting = [memoryview(part) for part in parts if part]
    while waiting:
        written = os.writev(fd, waiting)
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]


def save_state(path: Path, state: log_pb2.LogState) -> None:
    """Replace the saved state as a whole: written aside, fsynced, renamed, the folder fsynced."""
    content = state.SerializeToString()
    aside = path.with_suffix(".new")
    with aside.open("wb") as file:
        file.write(_STATE_HEADER.pack(_STATE_MAGIC, zlib.crc32(content)))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def load_state(path: Path) -> log_pb2.LogState | None:
    """The saved state; None if there is none. Raises DecodeError if it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < _STATE_HEADER.size:
        raise DecodeError(f"{path} is cut short")
    magic, crc32 = _STATE_HEADER.unpack_from(data)
    content = data[_STATE_HEADER.size :]
    if magic != _STATE_MAGIC or zlib.crc32(content) != crc32:
        raise DecodeError(f"{path} is damaged")
    try:
        return log_pb2.LogState.FromString(content)
    except ProtobufDecodeError as error:
        raise DecodeError(f"{path} is damaged: {error}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_folder(folder: Path) -> int:
    """Make the folder, and hold it until the descriptor is closed. Raises ConfigError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"data: {folder} cannot be used: {error.strerror}; choose another folder") from error
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    os.close(fd)
    raise ConfigError(f"data: another hub uses {folder}; stop it, or choose another folder")
