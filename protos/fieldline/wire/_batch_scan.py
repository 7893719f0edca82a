"""A look at the outer shape of a large Columns message before Protobuf parses it.

Protobuf turns each one-byte varint into eight bytes of memory, and each empty string into more: a message of
4 MiB could ask for a hundred. Counting the elements of each field beforehand bounds that.
"""

from typing import Final

from fieldline.errors import DecodeError
from fieldline.limits import BATCH_RAW_BYTES_MAX, BATCH_READINGS_MAX, BATCH_SERIES_MAX, BATCH_STRINGS_BYTES_MAX

__all__ = ["check_fields"]

_SMALL: Final = 64 << 10  # below this no message can ask for much
_VARINT_BYTES_MAX: Final = 10
_COLUMNS_MAX: Final = 3 * BATCH_SERIES_MAX
_CONTINUED: Final = bytes(range(0x80, 0x100))  # bytes of a varint that is not over yet

# Elements that an honest field may have, by field number, for the fields that are lists of varints.
_ELEMENTS_MAX: Final = {
    5: BATCH_SERIES_MAX,
    6: BATCH_SERIES_MAX,
    7: BATCH_SERIES_MAX,
    8: BATCH_SERIES_MAX,
    9: _COLUMNS_MAX,
    10: 3 * _COLUMNS_MAX,
    12: 3 * BATCH_READINGS_MAX,
    14: BATCH_READINGS_MAX,
    15: BATCH_READINGS_MAX,
}
# Bytes, keys included, for the others; what is not listed shares the budget of field 0.
_BYTES_MAX: Final = {
    0: 4_096,
    11: BATCH_RAW_BYTES_MAX,
    13: 2 * BATCH_STRINGS_BYTES_MAX,
    16: 2 * BATCH_STRINGS_BYTES_MAX,
}


def check_fields(raw: bytes) -> None:
    """DecodeError if a field of `raw` is larger than any honest one, or `raw` is not made of fields."""
    if len(raw) <= _SMALL:
        return
    budget = {**_BYTES_MAX, **_ELEMENTS_MAX}
    place = 0
    while place < len(raw):
        start = place
        key, place = _varint(raw, place)
        place = _skip(raw, place, key & 7)
        field = key >> 3 if key >> 3 in budget else 0
        # A packed field's key and length count as up to two elements more: few, and never a missing one.
        cost = len(raw[start:place].translate(None, _CONTINUED)) if field in _ELEMENTS_MAX else place - start
        budget[field] -= cost
        if budget[field] < -2:
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
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        if place >= len(raw):
            break
        byte = raw[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise DecodeError("the columns end in the middle of a number, or it has too many bytes")
