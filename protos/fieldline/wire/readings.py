"""Reading batches as bytes and back: the body of a frame with ENCODING_READINGS.

docs/reference/wire-format.md says what the bytes mean, for decoders in other languages.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import DecodeError, LimitError
from fieldline.limits import BATCH_PAYLOAD_BYTES_MAX, BATCH_RAW_BYTES_MAX
from fieldline.model import Reading
from fieldline.v1.readings_pb2 import ReadingBatch
from fieldline.wire._batch_decoder import Series, decode_columns, readings_of
from fieldline.wire._batch_encoder import encode_columns
from fieldline.wire._sweep_encoder import Sweeps
from fieldline.wire._value_encoder import Hint
from fieldline.wire.compression import compress, decompress

__all__ = ["ReadingEncoder", "Series", "decode_readings", "decode_series", "encode_readings", "readings_of"]

VERSION: Final = 1
CODEC_RAW: Final = 0
CODEC_ZSTD: Final = 1

_ENVELOPE_BYTES_MAX: Final = 1 << 10  # what may stand around the payload, unknown fields included
_HINTS_MAX: Final = 65_536


class ReadingEncoder:
    """Encodes batch after batch and remembers how the floats of each tag are best said.

    The same readings give the same readings back with or without the memory; only bytes and time differ. Not for
    use from several threads at once. The memory holds at most 65,536 tags; it is emptied when it is full.
    """

    def __init__(self, *, level: int = 3) -> None:
        self._level = level
        self._hints: dict[str, Hint] = {}
        self._sweeps = Sweeps(self._hints)

    @property
    def tags_remembered(self) -> int:
        """Tags whose encoding is known from earlier batches."""
        return len(self._hints)

    def encode(
        self, readings: Sequence[Reading], *, tag_ids: Mapping[str, int] | None = None, tag_table: int = 0
    ) -> bytes:
        """As encode_readings."""
        if (tag_ids is None) != (tag_table == 0):
            raise ValueError(f"tag_table is {tag_table}: it must be above 0 with tag_ids, and 0 without")
        if len(self._hints) >= _HINTS_MAX:
            self._hints.clear()
        sweep = self._sweeps.encode(readings) if tag_ids is None else None
        variants = encode_columns(readings, tag_ids, self._hints) if sweep is None else [sweep]
        codec, raw, payload = min(
            (candidate for raw in variants for candidate in self._packed(raw)), key=lambda each: len(each[2])
        )
        if len(payload) > BATCH_PAYLOAD_BYTES_MAX:
            raise LimitError(
                f"{len(readings)} readings make a payload of {len(payload)} bytes; BATCH_PAYLOAD_BYTES_MAX is "
                f"{BATCH_PAYLOAD_BYTES_MAX}: send smaller batches"
            )
        return ReadingBatch(
            version=VERSION,
            codec=codec,
            raw_size=len(raw),
            crc32=crc32(raw),
            tag_table=tag_table,
            payload=payload,
        ).SerializeToString()

    def _packed(self, raw: bytes) -> list[tuple[int, bytes, bytes]]:
        """`raw` as it is and as a zstd frame: small batches often do not shrink."""
        return [(CODEC_RAW, raw, raw), (CODEC_ZSTD, raw, compress(raw, level=self._level))]


def encode_readings(
    readings: Sequence[Reading],
    *,
    level: int = 3,
    tag_ids: Mapping[str, int] | None = None,
    tag_table: int = 0,
) -> bytes:
    """A serialised ReadingBatch of `readings`, compressed with zstd at `level` where that helps.

    With `tag_ids` (0..2^31-1 each) the batch names its tags by the ids of table `tag_table`, which is then above 0;
    without, the names travel inside. LimitError for a batch, value, name or time over a bound of fieldline.limits;
    ValueError for a tag without an id or a good reading without a value; TypeError for a value that is no
    float, int, bool, str or None.
    """
    return ReadingEncoder(level=level).encode(readings, tag_ids=tag_ids, tag_table=tag_table)


def decode_readings(body: bytes, *, tag_names: Mapping[int, Mapping[int, str]] | None = None) -> list[Reading]:
    """The readings of a serialised ReadingBatch, tag after tag as the batch has them.

    Readings of one tag and one type of value keep the order they were encoded in; how tags were interleaved is
    not kept (sort by `at_ns` where it matters: Python's sort is stable). `tag_names` maps tag tables to ids to
    names. DecodeError, and nothing else, for bytes that are cut, corrupt, hostile, of an unknown version or with
    unknown tag ids. Memory is bounded: about ten megabytes for the largest Columns message, and the readings.
    """
    return readings_of(decode_series(body, tag_names=tag_names))


def decode_series(body: bytes, *, tag_names: Mapping[int, Mapping[int, str]] | None = None) -> list[Series]:
    """The same as one Series per tag and type: cheaper where readings are handled in columns anyway."""
    if len(body) > BATCH_PAYLOAD_BYTES_MAX + _ENVELOPE_BYTES_MAX:
        raise DecodeError(f"reading batch of {len(body)} bytes is too large")
    try:
        batch = ReadingBatch.FromString(body)
    except ProtobufDecodeError as error:
        raise DecodeError(f"not a reading batch: {error}") from error
    names = None
    if batch.tag_table:
        names = (tag_names or {}).get(batch.tag_table)
        if names is None:
            raise DecodeError(f"tag table {batch.tag_table} is not known: ask its producer to announce it again")
    return decode_columns(_unpack(batch), names)


def _unpack(batch: ReadingBatch) -> bytes:
    """The Columns bytes of `batch`; every limit is checked before anything is allocated."""
    if batch.version != VERSION:
        raise DecodeError(f"reading batch version {batch.version} is not {VERSION}: update this program")
    if len(batch.payload) > BATCH_PAYLOAD_BYTES_MAX or not 0 < batch.raw_size <= BATCH_RAW_BYTES_MAX:
        raise DecodeError(
            f"reading batch of {len(batch.payload)} bytes, {batch.raw_size} uncompressed, "
            f"is outside 1..{BATCH_PAYLOAD_BYTES_MAX}, 1..{BATCH_RAW_BYTES_MAX}"
        )
    if batch.codec == CODEC_RAW:
        raw = batch.payload
    elif batch.codec == CODEC_ZSTD:
        raw = decompress(batch.payload, size_max=batch.raw_size)
    else:
        raise DecodeError(f"codec {batch.codec} is not known: update this program")
    if len(raw) != batch.raw_size:
        raise DecodeError(f"reading batch holds {len(raw)} bytes but declares {batch.raw_size}")
    if crc32(raw) != batch.crc32:
        raise DecodeError("reading batch is corrupt: its CRC-32 does not match")
    return raw
