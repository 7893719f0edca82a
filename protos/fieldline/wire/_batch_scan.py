"""A look at the outer shape of a large Columns message before Protobuf parses it.

Protobuf turns each one-byte varint into eight bytes of memory, and each empty string into more: a message of 4 MiB
could ask for a hundred. The sum of the bytes a field may honestly have bounds that beforehand.
"""

from typing import Final

from fieldline.errors import DecodeError
from fieldline.limits import (
    BATCH_RAW_BYTES_MAX,
    BATCH_READINGS_MAX,
    BATCH_SERIES_MAX,
    BATCH_STRINGS_BYTES_MAX,
)

__all__ = ["check_fields"]

_SMALL: Final = 64 << 10  # below this no message can ask for much
_VARINT_MAX: Final = 10
_COLUMNS_MAX: Final = 3 * BATCH_SERIES_MAX

# Bytes that all occurrences of a field may have together, by field number; other fields are bounded as unknown ones.
_FIELD_BYTES_MAX: Final = {
    5: BATCH_SERIES_MAX * _VARINT_MAX,
    6: BATCH_SERIES_MAX * _VARINT_MAX,
    7: BATCH_SERIES_MAX * _VARINT_MAX,
    8: BATCH_SERIES_MAX * _VARINT_MAX,
    9: _COLUMNS_MAX * _VARINT_MAX,
    10: 3 * _COLUMNS_MAX * _VARINT_MAX,
    11: BATCH_RAW_BYTES_MAX,
    12: 3 * BATCH_READINGS_MAX * _VARINT_MAX,
    13: 2 * BATCH_STRINGS_BYTES_MAX,
    14: BATCH_READINGS_MAX * _VARINT_MAX,
    15: BATCH_READINGS_MAX * _VARINT_MAX,
    16: 2 * BATCH_STRINGS_BYTES_MAX,
}
_OTHER_BYTES_MAX: Final = 4_096


def check_fields(raw: bytes) -> None:
    """DecodeError if a field of `raw` is larger than any honest one, or `raw` is not made of fields."""
    if len(raw) <= _SMALL:
        return
    budget = dict(_FIELD_BYTES_MAX)
    place = 0
    while place < len(raw):
        start = place
        key, place = _varint(raw, place)
        place = _skip(raw, place, key & 7)
        field = key >> 3 if key >> 3 in budget else 0
        budget[field] = budget.get(field, _OTHER_BYTES_MAX) - (place - start)
        if budget[field] < -_VARINT_MAX:
            raise DecodeError(f"field {key >> 3} of the columns is larger than any batch needs")
    if place > len(raw):
        raise DecodeError("the columns end in the middle of a field")


def _skip(raw: bytes, place: int, wire_type: int) -> int:
    if wire_type == 0:
        return _varint(raw, place)[1]
    if wire_type == 1:
        return place + 8
    if wire_type == 2:
        size, place = _varint(raw, place)
        return place + size
    if wire_type == 5:
        return place + 4
    raise DecodeError(f"wire type {wire_type} has no place in the columns")


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * _VARINT_MAX, 7):
        if place >= len(raw):
            break
        byte = raw[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise DecodeError("the columns end in the middle of a number, or it has too many bytes")
