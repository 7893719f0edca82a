"""Where in a segment an offset or a time is to be found, and the file beside it that remembers it. Pure.

The file, `<first offset>.idx`, spares a start and a first read the walk through the segment. It is written without
fsync, and believed only if its CRC holds and it is about a segment of this very size; otherwise it is made anew.
Numbers stand in the machine's own byte order; on another machine the file is not believed.
"""

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right

from fieldline_cloud.hub.engines.segments.chunk import ChunkHeader
from fieldline_cloud.hub.engines.segments.tally import Tally

__all__ = ["Index", "read_index", "write_index"]

_EVERY_BYTES = 64 << 10
_MAGIC = 0x31494C46  # "FLI1"
_HEADER = struct.Struct("=IIQQII")
_AFTER_CRC = 8
_INDEX_CODES = "QQQ"
_TALLY_CODES = "IIQQ"


class Index:
    """Some chunks of a segment, 64 KiB or more apart: their first offsets, when they were stored, where they begin."""

    __slots__ = ("_offsets", "_positions", "_times_ms", "last_ms")

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._positions = array("Q")
        self._times_ms = array("Q")
        self.last_ms = 0
        """When the last chunk was stored, as Unix time in ms; 0: there is none."""

    @property
    def first_ms(self) -> int | None:
        """When the first chunk with frames was stored, as Unix time in ms; None if there is none."""
        return self._times_ms[0] if self._times_ms else None

    def note(self, header: ChunkHeader, position: int) -> None:
        """A chunk stands at `position`; kept if the last one kept is far enough away."""
        self.last_ms = max(self.last_ms, header.stored_ms)
        if header.frames and (not self._positions or position - self._positions[-1] >= _EVERY_BYTES):
            self._positions.append(position)  # before the offsets, which readers in other threads search
            self._times_ms.append(header.stored_ms)
            self._offsets.append(header.first_offset)

    def near(self, offset: int) -> int:
        """Where to begin looking for `offset`: at or before its chunk."""
        place = bisect_right(self._offsets, offset) - 1
        return self._positions[place] if place >= 0 else 0

    def near_time(self, time_ms: int) -> int:
        """Where to begin looking for the first chunk stored at or after `time_ms`: at or before it."""
        place = bisect_left(self._times_ms, time_ms) - 1
        return self._positions[place] if place >= 0 else 0

    def _columns(self) -> "tuple[array[int], ...]":
        return self._offsets, self._positions, self._times_ms


def write_index(index: Index, tally: Tally, segment_bytes: int) -> bytes:
    """The file for a segment of this size."""
    body = b"".join(column.tobytes() for column in (*index._columns(), *tally.columns()))
    rest = _HEADER.pack(_MAGIC, 0, segment_bytes, index.last_ms, len(index._offsets), len(tally))[_AFTER_CRC:]
    crc32 = zlib.crc32(body, zlib.crc32(rest))
    return struct.pack("=II", _MAGIC, crc32) + rest + body


def read_index(data: bytes, segment_bytes: int) -> tuple[Index, Tally] | None:
    """What such a file says; None if it is not whole, or not about a segment of this size."""
    if len(data) < _HEADER.size:
        return None
    magic, crc32, size, last_ms, places, rows = _HEADER.unpack_from(data)
    if magic != _MAGIC or size != segment_bytes or zlib.crc32(data[_AFTER_CRC:]) != crc32:
        return None
    columns, begin = [], _HEADER.size
    for code, count in [(code, places) for code in _INDEX_CODES] + [(code, rows) for code in _TALLY_CODES]:
        column = array(code)
        column.frombytes(data[begin : begin + count * column.itemsize])
        begin += count * column.itemsize
        columns.append(column)
    index = Index()
    index._offsets, index._positions, index._times_ms = columns[:3]
    index.last_ms = last_ms
    return index, Tally(*columns[3:])
