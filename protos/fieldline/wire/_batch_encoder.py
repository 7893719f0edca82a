"""Readings as the Columns message: series, shared time axes, qualities, strings; every bound checked."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import repeat
from math import gcd
from operator import attrgetter, sub
from typing import Final, NamedTuple

from fieldline.errors import LimitError
from fieldline.limits import (
    BATCH_RAW_BYTES_MAX,
    BATCH_READINGS_MAX,
    BATCH_SERIES_MAX,
    BATCH_STRING_BYTES_MAX,
    BATCH_STRINGS_BYTES_MAX,
)
from fieldline.model import Reading
from fieldline.v1.readings_pb2 import Columns
from fieldline.wire._column_encoder import Column, encode_column, planes
from fieldline.wire._modes import BOOLEAN, INT64, INT64_MAX, INT64_MIN, MODE_STEP, STRING, TIME_EXPONENTS
from fieldline.wire._series import TypedSeries, series_of
from fieldline.wire._value_encoder import Encoded, Hint, encode_floats

__all__ = ["encode_columns"]

_AT = attrgetter("at_ns")
_TAG_ID_MAX: Final = (1 << 31) - 1
_VARINTS_READINGS_MAX: Final = 200  # above, byte planes win on nearly every batch and trying both costs time


class _Coded(NamedTuple):
    axis: int
    enc: int
    column: Column
    ulps: Column | None


def encode_columns(
    readings: Sequence[Reading], tag_ids: Mapping[str, int] | None, hints: MutableMapping[str, Hint]
) -> list[bytes]:
    """`readings` as serialised Columns, in every variant worth compressing; LimitError where a bound is passed.

    `hints` says, and learns, how the floats of each tag are best encoded.
    """
    if len(readings) > BATCH_READINGS_MAX:
        raise LimitError(
            f"{len(readings)} readings in one batch; BATCH_READINGS_MAX is {BATCH_READINGS_MAX}: send several batches"
        )
    if not readings:
        return [Columns(version=1).SerializeToString()]
    series = list(_all_series(readings, tag_ids))
    if len(series) > BATCH_SERIES_MAX:
        raise LimitError(
            f"{len(series)} tags and types in one batch; BATCH_SERIES_MAX is {BATCH_SERIES_MAX}: send several batches"
        )
    return _serialise(*_message(readings, series, tag_ids, hints))


def _all_series(readings: Sequence[Reading], tag_ids: Mapping[str, int] | None) -> Iterator[TypedSeries]:
    groups: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.tag].append(reading)
    if tag_ids is None:
        tags: Iterable[str] = groups
    else:
        unknown = groups.keys() - tag_ids.keys()
        if unknown:
            raise ValueError(f"tag {min(unknown)!r} has no id: add it to the tag table, or send names")
        tags = sorted(groups, key=tag_ids.__getitem__)
    for tag in tags:
        yield from series_of(tag, groups[tag])


def _message(
    readings: Sequence[Reading],
    series: list[TypedSeries],
    tag_ids: Mapping[str, int] | None,
    hints: MutableMapping[str, Hint],
) -> tuple[Columns, list[Column]]:
    """The message without its columns, and the columns."""
    t0_ns = _first_moment(readings)
    axes: dict[tuple[int, ...], int] = {}
    strings: dict[str, int] = {}
    coded: list[_Coded] = []
    for one in series:
        encoded = _integers(one, hints, strings)
        ulps = encode_column(encoded.ulps) if encoded.ulps else None
        axis = axes.setdefault(one.at_ns, len(axes))
        coded.append(_Coded(axis, encoded.enc, encode_column(encoded.integers), ulps))
    t_exp, time_columns = _time_columns(axes, t0_ns)
    columns = Columns(
        version=1,
        count=len(readings),
        t0_ns=t0_ns,
        t_exp=t_exp,
        axis=_deltas([one.axis for one in coded]),
        axis_len=map(len, axes),
        enc=[one.enc for one in coded],
        strings=strings,
    )
    columns.q_pos.extend(_deltas([position for position, _ in _qualities(series)]))
    columns.q_code.extend([code for _, code in _qualities(series)])
    _identify(columns, series, tag_ids)
    ulps = [one.ulps for one in coded if one.ulps is not None]
    return columns, [*time_columns, *(one.column for one in coded), *ulps]


def _first_moment(readings: Sequence[Reading]) -> int:
    first, last = min(readings, key=_AT), max(readings, key=_AT)
    for reading in (first, last):
        if not INT64_MIN <= reading.at_ns <= INT64_MAX:
            raise LimitError(f"at_ns {reading.at_ns} of tag {reading.tag!r} does not fit 64 bits")
    return first.at_ns


def _integers(series: TypedSeries, hints: MutableMapping[str, Hint], strings: dict[str, int]) -> Encoded:
    if series.floats is not None:
        encoded, hint = encode_floats(series.floats, hints.get(series.tag))
        if hint is not None:
            hints[series.tag] = hint
        return encoded
    if series.integers is not None:
        return Encoded(INT64 * MODE_STEP, series.integers)
    if series.booleans is not None:
        return Encoded(BOOLEAN * MODE_STEP, list(map(int, series.booleans)))
    assert series.strings is not None
    return Encoded(STRING * MODE_STEP, [strings.setdefault(text, len(strings)) for text in series.strings])


def _time_columns(axes: Iterable[tuple[int, ...]], t0_ns: int) -> tuple[int, list[Column]]:
    """The time unit as a power of ten, and one column per axis."""
    since = [list(map(sub, axis, repeat(t0_ns))) for axis in axes]
    common = gcd(*(gcd(*axis) for axis in since))
    t_exp = next(exponent for exponent in TIME_EXPONENTS if common % 10**exponent == 0)
    unit = 10**t_exp
    return t_exp, [encode_column([ns // unit for ns in axis] if t_exp else axis) for axis in since]


def _qualities(series: list[TypedSeries]) -> Iterator[tuple[int, int]]:
    """Position and code of every reading that is not simply good, series after series."""
    start = 0
    for one in series:
        if one.codes is not None:
            yield from ((start + place, code) for place, code in enumerate(one.codes) if code)
        start += len(one.at_ns)


def _identify(columns: Columns, series: list[TypedSeries], tag_ids: Mapping[str, int] | None) -> None:
    bytes_total = sum(_checked_bytes(text, "string value") for text in columns.strings)
    if tag_ids is None:
        names = [one.tag for one in series]
        bytes_total += sum(_checked_bytes(name, "tag name") for name in names)
        columns.names.extend(names)
    else:
        ids = [tag_ids[one.tag] for one in series]
        if ids[0] < 0 or ids[-1] > _TAG_ID_MAX:
            raise LimitError(f"tag ids {ids[0]} to {ids[-1]} are not all in 0..{_TAG_ID_MAX}")
        columns.tag.extend(_deltas(ids))
    if bytes_total > BATCH_STRINGS_BYTES_MAX:
        raise LimitError(
            f"{bytes_total} bytes of tag names and string values in one batch; "
            f"BATCH_STRINGS_BYTES_MAX is {BATCH_STRINGS_BYTES_MAX}: send several batches"
        )


def _checked_bytes(text: str, what: str) -> int:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise LimitError(f"{what} {text!r} is not valid Unicode") from error
    if size > BATCH_STRING_BYTES_MAX:
        raise LimitError(f"{what} {text[:40]!r}... has {size} bytes; BATCH_STRING_BYTES_MAX is {BATCH_STRING_BYTES_MAX}")
    return size


def _serialise(message: Columns, columns: list[Column]) -> list[bytes]:
    message.col.extend([column.order + 3 * column.width for column in columns])
    message.head.extend([number for column in columns for number in (column.low, *column.starts)])
    message.data = planes(columns)
    variants = [message.SerializeToString()]
    if message.count <= _VARINTS_READINGS_MAX:
        message.ClearField("data")
        message.col[:] = [column.order for column in columns]
        message.head[:] = [start for column in columns for start in column.starts]
        message.resid.extend([residual for column in columns for residual in column.residuals])
        variants.append(message.SerializeToString())
    if len(variants[0]) > BATCH_RAW_BYTES_MAX:
        raise LimitError(
            f"{message.count} readings make {len(variants[0])} bytes; BATCH_RAW_BYTES_MAX is {BATCH_RAW_BYTES_MAX}: "
            "send smaller batches"
        )
    return variants


def _deltas(numbers: list[int]) -> list[int]:
    return list(map(sub, numbers, [0, *numbers]))
