"""How the frames of one commit lie together in one row. Pure: no disk, no clock.

A chunk is a run of frames: for each, as varints, how many ids are missing right before it, how many readings were in
what is missing, and its length; then the frame. A row written by version 1 (span 0) is one bare frame.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fieldline.v1 import hub_pb2

__all__ = ["CHUNK_BYTES_MAX", "Chunk", "Part", "Thinned", "pack", "parts", "split", "thin", "varint"]

# A damaged chunk is lost whole, and one is rewritten whole when it is thinned out.
CHUNK_BYTES_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Part:
    """A frame with its id; `skipped` ids right before it hold nothing, `missing` readings were in them."""

    id: int
    frame: bytes
    skipped: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row: ids `last - span + 1` to `last`; `readings` and `frames` are in it, `missing` readings no longer."""

    last: int
    span: int
    at_ns: int
    readings: int
    frames: int
    missing: int
    blob: bytes

    @property
    def first(self) -> int:
        """The first id it covers; a row of version 1 covers one."""
        return self.last - max(self.span, 1) + 1


@dataclass(frozen=True, slots=True)
class Thinned:
    """What is left of a chunk: None if nothing is; `frames` and `readings` are what went."""

    left: Chunk | None
    frames: int
    readings: int


def varint(number: int) -> bytes:
    """Base 128, least significant group first (Protocol Buffers encoding, "Base 128 varints")."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def pack(found: Iterable[Part]) -> bytes:
    """The blob of some frames, in ascending order of their ids."""
    pieces: list[bytes] = []
    for part in found:
        pieces += (varint(part.skipped), varint(part.missing), varint(len(part.frame)), part.frame)
    return b"".join(pieces)


def parts(blob: bytes, last: int, span: int) -> Iterator[Part]:
    """The frames of a row. ValueError if the blob is not one: its checksum is to be looked at before."""
    if span == 0:
        yield Part(last, blob)
        return
    at, following = 0, last - span + 1
    while at < len(blob):
        skipped, at = _read(blob, at)
        missing, at = _read(blob, at)
        size, at = _read(blob, at)
        if at + size > len(blob):
            raise ValueError("a frame reaches beyond its chunk")
        following += skipped
        yield Part(following, blob[at : at + size], skipped, missing)
        at += size
        following += 1


def thin(chunk: Chunk, seen: dict[str, int], keep_every: int) -> Thinned:
    """Keep every n-th frame of each topic; `seen` counts frames by topic over the chunks of one pass, and is changed.

    By topic, because devices take turns: every second frame of a stream of two devices is always the same one's.
    """
    kept: list[Part] = []
    frames = readings = skipped = missing = 0
    left = 0
    for part in parts(chunk.blob, chunk.last, chunk.span):
        frame = hub_pb2.Frame.FromString(part.frame)
        number = seen.get(frame.topic, 0)
        seen[frame.topic] = number + 1
        skipped += part.skipped
        missing += part.missing
        if number % keep_every:
            frames += 1
            readings += frame.count
            skipped += 1
            missing += frame.count
        else:
            kept.append(Part(part.id, part.frame, skipped, missing))
            left += frame.count
            skipped = missing = 0
    if not frames:
        return Thinned(chunk, 0, 0)
    if not kept:
        return Thinned(None, frames, readings)
    last = kept[-1].id
    span = last - chunk.first + 1
    inside = sum(part.missing for part in kept)
    thinned = Chunk(last, span, chunk.at_ns, left, len(kept), inside, pack(kept))
    return Thinned(thinned, frames, readings)


def split(sizes: Sequence[int], bytes_max: int = CHUNK_BYTES_MAX) -> Iterator[tuple[int, int]]:
    """(begin, end) of runs whose sizes add up to at most `bytes_max`; one that is larger is a run of its own."""
    begin = size = 0
    for index, one in enumerate(sizes):
        if index > begin and size + one > bytes_max:
            yield begin, index
            begin, size = index, 0
        size += one
    if begin < len(sizes):
        yield begin, len(sizes)


def _read(blob: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(blob):
        byte = blob[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise ValueError("a chunk ends inside a number")
