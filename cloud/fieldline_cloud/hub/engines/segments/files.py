"""Work on the files of a segment log: appending to one, reading chunks out of one, saving the state beside them."""

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import ConfigError, DecodeError
from fieldline.v1 import log_pb2
from fieldline_cloud.hub.engines.segments.chunk import HEADER_BYTES, MAGIC, ChunkHeader, parse_header, verify

__all__ = ["ChunkReader", "load_state", "lock_folder", "save_state", "sync_folder", "write_all"]

_BLOCK_BYTES = 1 << 20
_STATE_HEADER = struct.Struct("<4sI")
_STATE_MAGIC = b"FLS1"


class ChunkReader:
    """Reads chunks of one open file in blocks, up to `end`."""

    def __init__(self, fd: int, end: int, *, block_bytes: int = _BLOCK_BYTES) -> None:
        self.end = end
        self._fd = fd
        self._block_bytes = block_bytes
        self._data = b""
        self._base = 0

    def at(self, position: int) -> tuple[ChunkHeader, bytes, int] | None:
        """(header, data, where in data) of the chunk at `position`, CRC not checked; None if none is there."""
        self._hold(position, HEADER_BYTES)
        header = parse_header(self._data, position - self._base)
        if header is None or position + header.size > self.end:
            return None
        self._hold(position, header.size)
        if position - self._base + header.size > len(self._data):
            return None
        return header, self._data, position - self._base

    def resync(self, position: int) -> int | None:
        """Where the next chunk with a CRC that holds begins, after `position`; None if there is none."""
        while position < self.end:
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

    def is_empty_from(self, position: int) -> bool:
        """Whether nothing but zeros stands from `position` to the end."""
        while position < self.end:
            self._hold(position, 1)
            rest = self._data[position - self._base :]
            if rest.strip(b"\0"):
                return False
            position += len(rest)
        return True

    def _hold(self, position: int, size: int) -> None:
        """Have `size` bytes from `position` in the buffer, or what the file has of them."""
        if self._base <= position and position + size <= self._base + len(self._data):
            return
        self._data = os.pread(self._fd, min(max(size, self._block_bytes), self.end - position), position)
        self._base = position


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
