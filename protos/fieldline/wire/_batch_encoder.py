"""Readings as the Columns message: series, shared time axes, qualities, names; every bound checked."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from itertools import pairwise, repeat
from math import gcd
from operator import sub
from typing import Final

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
from fieldline.wire._modes import INT64_MAX, INT64_MIN, TIME_EXPONENTS
from fieldline.wire._series import SeriesMajor, series_major
from fieldline.wire._series_encoder import encode_series
from fieldline.wire._value_encoder import Hint

__all__ = ["encode_columns"]

_TAG_ID_MAX: Final = (1 << 31) - 1
_VARINTS_READINGS_MAX: Final = 200  # above, byte planes win on nearly every batch and trying both costs time


def encode_columns(
    readings: Sequence[Reading], tag_ids: Mapping[str, int] | None, hints: MutableMapping[str, Hint]
) -> list[bytes]:
    """`readings` as serialised Columns, in every variant worth compressing; LimitError where a bound is passed.

    `hints` says, and learns, how the floats of each tag are best encoded.
    """
    if len(readings) > BATCH_READINGS_MAX:
        raise _too_many(len(readings), "readings", "BATCH_READINGS_MAX", BATCH_READINGS_MAX)
    if not readings:
        return [Columns(version=1).SerializeToString()]
    flat = series_major(readings, tag_ids)
    if len(flat.tags) > BATCH_SERIES_MAX:
        raise _too_many(len(flat.tags), "tags and types", "BATCH_SERIES_MAX", BATCH_SERIES_MAX)
    return _serialise(*_message(flat, tag_ids, hints))


def _too_many(count: int, what: str, name: str, limit: int) -> LimitError:
    return LimitError(f"{count} {what} in one batch; {name} is {limit}: send smaller batches")


def _message(
    flat: SeriesMajor, tag_ids: Mapping[str, int] | None, hints: MutableMapping[str, Hint]
) -> tuple[Columns, list[Column]]:
    """The message without its columns, and the columns."""
    t0_ns = _first_moment(flat)
    axes: dict[tuple[int, ...], int] = {}
    axis = [axes.setdefault(tuple(flat.at_ns[start:end]), len(axes)) for start, end in pairwise(flat.bounds)]
    strings: dict[str, int] = {}
    encoded = encode_series(flat, hints, strings)
    t_exp, time_columns = _time_columns(axes, flat.at_ns, t0_ns)
    columns = Columns(
        version=1,
        count=len(flat.at_ns),
        t0_ns=t0_ns,
        t_exp=t_exp,
        axis=_deltas(axis),
        axis_len=map(len, axes),
        enc=[one.enc for one in encoded],
    )
    _add_texts(columns, list(strings), None if tag_ids is not None else flat.tags)
    if tag_ids is not None:
        columns.tag.extend(_deltas(_checked_ids([tag_ids[tag] for tag in flat.tags])))
    if flat.codes is not None:
        positions = [position for position, code in enumerate(flat.codes) if code]
        columns.q_pos.extend(_deltas(positions))
        columns.q_code.extend(filter(None, flat.codes))
    ulps = [encode_column(one.ulps) for one in encoded if one.ulps is not None]
    return columns, [*time_columns, *(encode_column(one.integers) for one in encoded), *ulps]


def _first_moment(flat: SeriesMajor) -> int:
    first, last = min(flat.at_ns), max(flat.at_ns)
    for moment in (first, last):
        if not INT64_MIN <= moment <= INT64_MAX:
            place = flat.at_ns.index(moment)
            tag = next(tag for tag, end in zip(flat.tags, flat.bounds[1:], strict=True) if place < end)
            raise LimitError(f"at_ns {moment} of tag {tag!r} does not fit 64 bits")
    return first


def _time_columns(axes: Iterable[tuple[int, ...]], at_ns: list[int], t0_ns: int) -> tuple[int, list[Column]]:
    """The time unit as a power of ten, and one column per axis."""
    common = gcd(*map(sub, at_ns, repeat(t0_ns)))
    t_exp = next(exponent for exponent in TIME_EXPONENTS if common % 10**exponent == 0)
    unit = 10**t_exp
    return t_exp, [encode_column([(moment - t0_ns) // unit for moment in axis]) for axis in axes]


def _add_texts(columns: Columns, strings: list[str], names: list[str] | None) -> None:
    bytes_total = sum(_checked_bytes(text, "string value") for text in strings)
    if names is not None:
        bytes_total += sum(_checked_bytes(name, "tag name") for name in names)
        columns.names.extend(names)
    if bytes_total > BATCH_STRINGS_BYTES_MAX:
        what = "bytes of tag names and string values"
        raise _too_many(bytes_total, what, "BATCH_STRINGS_BYTES_MAX", BATCH_STRINGS_BYTES_MAX)
    columns.strings.extend(strings)


def _checked_bytes(text: str, what: str) -> int:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise LimitError(f"{what} {text!r} is not valid Unicode") from error
    if size > BATCH_STRING_BYTES_MAX:
        limit = f"BATCH_STRING_BYTES_MAX is {BATCH_STRING_BYTES_MAX}"
        raise LimitError(f"{what} {text[:40]!r}... has {size} bytes; {limit}")
    return size


def _checked_ids(ids: list[int]) -> list[int]:
    if ids[0] < 0 or ids[-1] > _TAG_ID_MAX:
        raise LimitError(f"tag ids {ids[0]} to {ids[-1]} are not all in 0..{_TAG_ID_MAX}")
    return ids


def _serialise(message: Columns, columns: list[Column]) -> list[bytes]:
    widths = [column.width for column in columns]
    message.col.extend([column.order + 3 * width for column, width in zip(columns, widths, strict=True)])
    message.head.extend([number for column in columns for number in (column.low, *column.starts)])
    message.data = planes(columns, widths)
    variants = [message.SerializeToString()]
    if message.count <= _VARINTS_READINGS_MAX:
        message.ClearField("data")
        message.col[:] = [column.order for column in columns]
        message.head[:] = [start for column in columns for start in column.starts]
        message.resid.extend([residual for column in columns for residual in column.residuals])
        variants.append(message.SerializeToString())
    if len(variants[0]) > BATCH_RAW_BYTES_MAX:
        raise _too_many(len(variants[0]), "bytes", "BATCH_RAW_BYTES_MAX", BATCH_RAW_BYTES_MAX)
    return variants


def _deltas(numbers: list[int]) -> list[int]:
    return list(map(sub, numbers, [0, *numbers]))
