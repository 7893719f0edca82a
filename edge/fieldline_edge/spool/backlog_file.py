"""The file that carries a backlog: its format, and how to read as much as possible of a damaged one. Pure but for files
handed in.

    "FLBACKLOG1\\n"
    record  header     JSON: gateway, exported_at_ns, lanes [{epoch, first, last, frames, readings}]
    record  frame      lane (index into the header), sequence, before, readings missing; then the serialised frame
    ...
    record  end        JSON: frames, readings, sha256 of everything before this record, as hexadecimal digits

A record is: mark (4 bytes), kind (1), length of its content (4), CRC-32 of kind, length and content (4), content. All
numbers are little-endian. `before` is the sequence that the frame follows: what is between them is missing, and was
dropped by the gateway. Records can be found again behind a damaged place by their mark and checksum.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from fieldline.errors import DecodeError
from fieldline.limits import FRAME_BYTES_MAX

__all__ = ["BacklogHeader", "BacklogReader", "BacklogWriter", "CarriedFrame", "LaneRange"]

MAGIC = b"FLBACKLOG1\n"
_MARK = b"\xf1\x1e\x1d\x0b"
_HEAD = struct.Struct("<4sBII")
_FRAME = struct.Struct("<IQQI")
_HEADER, _FRAME_KIND, _END = 1, 2, 3
_CONTENT_BYTES_MAX = FRAME_BYTES_MAX + (1 << 20)
_SEARCH_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class LaneRange:
    """One numbering in the file: sequences `first` to `last` of an epoch."""

    epoch: int
    first: int
    last: int
    frames: int
    readings: int


@dataclass(frozen=True, slots=True)
class BacklogHeader:
    """Whose backlog it is, and from when."""

    gateway: str
    exported_at_ns: int
    lanes: tuple[LaneRange, ...]


@dataclass(frozen=True, slots=True)
class CarriedFrame:
    """A frame of lane number `lane` of the header; `before` is the sequence it follows."""

    lane: int
    sequence: int
    before: int
    readings_missing: int
    frame: bytes


class BacklogWriter:
    """Writes a backlog: the header at once, then `add`, and `end` at the end."""

    def __init__(self, file: IO[bytes], header: BacklogHeader) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._frames = self._readings = 0
        self._write(MAGIC)
        self._record(_HEADER, json.dumps(asdict(header)).encode())

    def add(self, carried: CarriedFrame, readings: int) -> None:
        """One more frame; those of a lane in ascending order."""
        numbers = _FRAME.pack(carried.lane, carried.sequence, carried.before, carried.readings_missing)
        self._record(_FRAME_KIND, numbers + carried.frame)
        self._frames += 1
        self._readings += readings

    def end(self) -> None:
        """The checksum of the whole."""
        end = {"frames": self._frames, "readings": self._readings, "sha256": self._sha256.hexdigest()}
        self._record(_END, json.dumps(end).encode())

    def _record(self, kind: int, content: bytes) -> None:
        self._write(_HEAD.pack(_MARK, kind, len(content), _crc(kind, content)) + content)

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._file.write(data)


class BacklogReader:
    """Reads a backlog. `frames` may be run through again and again; the numbers below are of the last time.

    DecodeError if it is no backlog, or its header cannot be read: without it, nobody knows whose frames they are.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.whole = False
        """Whether the end was there and the checksum of the whole was right."""
        self.damaged = 0
        """Places that could not be read."""
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise DecodeError("is no exported backlog: it does not begin with FLBACKLOG1")
        found = self._record()
        if found is None or found[0] != _HEADER:
            raise DecodeError("the header of this backlog is damaged, so nobody knows whose it is; export it again")
        self.header = _header(found[1])
        self._begin = file.tell()

    def frames(self) -> Iterator[CarriedFrame]:
        """All frames whose checksum is right, in the order of the file."""
        for _, carried in self.frames_at(self._begin):
            yield carried

    def frames_at(self, offset: int = 0) -> Iterator[tuple[int, CarriedFrame]]:
        """The same from an offset on (0: the first frame), with where each begins."""
        at = offset or self._begin
        self.whole, self.damaged = False, 0
        while True:
            self._file.seek(at)
            found = self._record()
            if found is None:
                following = self._search(at + 1)
                if following is None:
                    self.damaged += self._size() > at
                    return
                self.damaged += 1
                at = following
                continue
            kind, content = found
            if kind == _END:
                self.whole = self._is_whole(at, content)
                return
            if kind == _FRAME_KIND and len(content) > _FRAME.size:
                lane, sequence, before, missing = _FRAME.unpack_from(content)
                if lane < len(self.header.lanes):
                    yield at, CarriedFrame(lane, sequence, before, missing, content[_FRAME.size :])
            at += _HEAD.size + len(content)

    def _record(self) -> tuple[int, bytes] | None:
        """The record that begins here; None if there is none that is whole."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        mark, kind, size, crc = _HEAD.unpack(head)
        if mark != _MARK or size > _CONTENT_BYTES_MAX:
            return None
        content = self._file.read(size)
        if len(content) < size or _crc(kind, content) != crc:
            return None
        return kind, content

    def _search(self, at: int) -> int | None:
        """Where the next whole record begins."""
        while True:
            self._file.seek(at)
            block = self._file.read(_SEARCH_BYTES)
            if len(block) < len(_MARK):
                return None
            found = block.find(_MARK)
            if found < 0:
                at += len(block) - len(_MARK) + 1
                continue
            at += found
            self._file.seek(at)
            if self._record() is not None:
                return at
            at += 1

    def _is_whole(self, at: int, content: bytes) -> bool:
        sha256 = hashlib.sha256()
        self._file.seek(0)
        left = at
        while left:
            block = self._file.read(min(left, 1 << 20))
            sha256.update(block)
            left -= len(block)
        return bool(sha256.hexdigest() == json.loads(content).get("sha256"))

    def _size(self) -> int:
        return self._file.seek(0, 2)


def _crc(kind: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(struct.pack("<BI", kind, len(content))))


def _header(content: bytes) -> BacklogHeader:
    try:
        found: dict[str, Any] = json.loads(content)
        lanes = tuple(LaneRange(**lane) for lane in found["lanes"])
        return BacklogHeader(str(found["gateway"]), int(found["exported_at_ns"]), lanes)
    except (ValueError, TypeError, KeyError) as error:
        raise DecodeError(f"the header of this backlog says what this version does not know: {error}") from error
