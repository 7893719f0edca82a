"""The values of all series as integers. Series whose floats need the same encoding are encoded in one go."""

from collections.abc import MutableMapping
from itertools import chain

from fieldline.errors import LimitError
from fieldline.wire._modes import (
    BOOLEAN,
    DECIMAL,
    DECIMAL_FLOAT32,
    INT64,
    INT64_MAX,
    INT64_MIN,
    MODE_STEP,
    STRING,
)
from fieldline.wire._series import SeriesMajor
from fieldline.wire._value_encoder import Encoded, Hint, encode_as, encode_floats

__all__ = ["encode_series"]


def encode_series(flat: SeriesMajor, hints: MutableMapping[str, Hint], strings: dict[str, int]) -> list[Encoded]:
    """One Encoded per series. `hints` says and learns how floats are encoded, `strings` learns their indices.

    LimitError, with the tag, for an integer beyond 64 bits.
    """
    encoded: dict[int, Encoded] = {}
    float_series: list[int] = []
    for series, kind in enumerate(flat.kinds):
        if kind is float:
            float_series.append(series)
            continue
        values = flat.values[flat.bounds[series] : flat.bounds[series + 1]]
        if kind is int:
            encoded[series] = Encoded(INT64 * MODE_STEP, _checked(values, flat.tags[series]))
        elif kind is bool:
            encoded[series] = Encoded(BOOLEAN * MODE_STEP, list(map(int, values)))
        else:
            assert kind is str
            indices = [strings.setdefault(text, len(strings)) for text in values]
            encoded[series] = Encoded(STRING * MODE_STEP, indices)
    if float_series:
        _encode_floats(flat, float_series, hints, encoded)
    return [encoded[series] for series in range(len(flat.kinds))]


def _checked(values: list[int], tag: str) -> list[int]:
    low, high = min(values), max(values)
    if low < INT64_MIN or high > INT64_MAX:
        extreme = low if low < INT64_MIN else high
        raise LimitError(f"value {extreme} of tag {tag!r} does not fit a signed 64-bit integer: send it as a float")
    return values


def _encode_floats(
    flat: SeriesMajor, float_series: list[int], hints: MutableMapping[str, Hint], encoded: dict[int, Encoded]
) -> None:
    alike: dict[int | None, list[int]] = {}
    for series in float_series:
        alike.setdefault(_bulk_encoding(hints.get(flat.tags[series])), []).append(series)
    for enc, members in alike.items():
        if enc is not None and len(members) > 1 and _encode_alike(flat, members, enc, encoded):
            continue
        for series in members:
            tag = flat.tags[series]
            values = flat.values[flat.bounds[series] : flat.bounds[series + 1]]
            encoded[series], hint = encode_floats(values, hints.get(tag))
            if hint is not None:
                hints[tag] = hint


def _bulk_encoding(hint: Hint | None) -> int | None:
    """The encoding of `hint` if it says all values in one column and is never doubted."""
    if hint is None or hint.enc // MODE_STEP not in (DECIMAL, DECIMAL_FLOAT32):
        return None
    return hint.enc


def _encode_alike(flat: SeriesMajor, members: list[int], enc: int, encoded: dict[int, Encoded]) -> bool:
    """Encode the series `members` together, all or none: whether it was all."""
    spans = [(flat.bounds[series], flat.bounds[series + 1]) for series in members]
    values = list(chain.from_iterable(flat.values[start:end] for start, end in spans))
    together = encode_as(values, enc)
    if together is None or together.ulps is not None:
        return False
    place = 0
    for series, (start, end) in zip(members, spans, strict=True):
        encoded[series] = Encoded(enc, together.integers[place : place + end - start])
        place += end - start
    return True
