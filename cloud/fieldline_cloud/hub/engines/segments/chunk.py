"""A chunk as bytes: what one group commit writes. Pure.

    magic "FLC1" · CRC-32 of all that follows · first offset · frames · stored (Unix ms) · bytes of meta, of body
    meta: a serialised fieldline.v1.ChunkMeta
    body: a serialised fieldline.v1.RawDeliveries, which is how the frames go over the wire

Numbers are little endian. A chunk counts only if its CRC holds, so a write that a power loss has cut is not there.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import DecodeError
from fieldline.v1 import log_pb2, passthrough_pb2

__all__ = ["HEADER_BYTES", "MAGIC", "ChunkHeader", "close_chunk", "open_body", "open_meta", "parse_header", "verify"]

MAGIC = b"FLC1"
_HEADER = struct.Struct("<4sIQIQII")
_AFTER_CRC = 8
HEADER_BYTES = _HEADER.size
_PART_BYTES_MAX = 1 << 30


class ChunkHeader(NamedTuple):
    """Where a chunk stands in the log and how long it is."""

    crc32: int
    first_offset: int
    frames: int
    stored_ms: int
    meta_bytes: int
    body_bytes: int

    @property
    def next_offset(self) -> int:
        """The offset after its last frame."""
        return self.first_offset + self.frames

    @property
    def size(self) -> int:
        """Bytes of the whole chunk."""
        return HEADER_BYTES + self.meta_bytes + self.body_bytes


def close_chunk(
    *, first_offset: int, deliveries: Sequence[bytes], meta: log_pb2.ChunkMeta, stored_ms: int
) -> tuple[bytes, bytes, bytes]:
    """(header, meta, body), to be written one after the other."""
    meta_bytes = meta.SerializeToString()
    body = passthrough_pb2.RawDeliveries(deliveries=deliveries).SerializeToString()
    fields = (first_offset, len(deliveries), stored_ms, len(meta_bytes), len(body))
    rest = _HEADER.pack(MAGIC, 0, *fields)[_AFTER_CRC:]
    crc32 = zlib.crc32(body, zlib.crc32(meta_bytes, zlib.crc32(rest)))
    return _HEADER.pack(MAGIC, crc32, *fields), meta_bytes, body


def parse_header(data: bytes | memoryview, position: int = 0) -> ChunkHeader | None:
    """The header at `position`; None if there is none, or if it makes no sense."""
    if len(data) - position < HEADER_BYTES:
        return None
    magic, *fields = _HEADER.unpack_from(data, position)
    header = ChunkHeader(*fields)
    if magic != MAGIC or header.meta_bytes > _PART_BYTES_MAX or header.body_bytes > _PART_BYTES_MAX:
        return None
    return header


def verify(data: bytes | memoryview, position: int, header: ChunkHeader) -> bool:
    """Whether the whole chunk is in `data` and its CRC holds."""
    end = position + header.size
    if end > len(data):
        return False
    return zlib.crc32(memoryview(data)[position + _AFTER_CRC : end]) == header.crc32


def open_meta(data: bytes | memoryview, position: int, header: ChunkHeader) -> log_pb2.ChunkMeta:
    """The meta of a verified chunk."""
    begin = position + HEADER_BYTES
    try:
        return log_pb2.ChunkMeta.FromString(bytes(data[begin : begin + header.meta_bytes]))
    except ProtobufDecodeError as error:
        raise DecodeError(f"chunk at offset {header.first_offset} has no readable meta: {error}") from error


def open_body(data: bytes | memoryview, position: int, header: ChunkHeader) -> Sequence[bytes]:
    """The serialised deliveries of a chunk."""
    begin = position + HEADER_BYTES + header.meta_bytes
    try:
        return passthrough_pb2.RawDeliveries.FromString(bytes(data[begin : begin + header.body_bytes])).deliveries
    except ProtobufDecodeError as error:
        raise DecodeError(f"chunk at offset {header.first_offset} has no readable body: {error}") from error
