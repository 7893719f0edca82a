"""The readings of one tag as series of one type each."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from fieldline.errors import LimitError
from fieldline.model import Quality, Reading, Value
from fieldline.wire._modes import INT64_MAX, INT64_MIN, NO_VALUE

__all__ = ["TypedSeries", "series_of"]

_AT = attrgetter("at_ns")
_VALUE = attrgetter("value")
_QUALITY = attrgetter("quality")
_TYPES: Final = (bool, float, int, str)  # bool first: it is an int, too


@dataclass(frozen=True, slots=True)
class TypedSeries:
    """Moments and values of one tag; exactly one of the four value lists is there.

    `codes` are quality codes, with NO_VALUE added where the value is only a placeholder; None if all are good.
    """

    tag: str
    at_ns: tuple[int, ...]
    codes: list[int] | None
    floats: list[float] | None = None
    integers: list[int] | None = None
    booleans: list[bool] | None = None
    strings: list[str] | None = None


def series_of(tag: str, readings: Sequence[Reading]) -> list[TypedSeries]:
    """One series per type of value, in the order the types appear; within each, readings keep their order.

    LimitError for an integer beyond 64 bits or a quality beyond 0..255, ValueError for a good reading without a
    value, TypeError for a value of another type; all name the tag.
    """
    values: list[Any] = list(map(_VALUE, readings))
    kinds = set(map(type, values))
    qualities = list(map(_QUALITY, readings))
    codes = _codes(tag, qualities) if any(qualities) else None
    if len(kinds) == 1 and (kind := kinds.pop()) in _TYPES:
        return [_series(tag, kind, tuple(map(_AT, readings)), codes, values)]
    return _split(tag, list(map(_AT, readings)), values, codes or [0] * len(values))


def _series(tag: str, kind: type, at_ns: tuple[int, ...], codes: list[int] | None, values: list[Any]) -> TypedSeries:
    if kind is float:
        return TypedSeries(tag, at_ns, codes, floats=values)
    if kind is bool:
        return TypedSeries(tag, at_ns, codes, booleans=values)
    if kind is str:
        return TypedSeries(tag, at_ns, codes, strings=values)
    for extreme in (min(values), max(values)):
        if not INT64_MIN <= extreme <= INT64_MAX:
            raise LimitError(f"value {extreme} of tag {tag!r} does not fit a signed 64-bit integer: send it as a float")
    return TypedSeries(tag, at_ns, codes, integers=values)


def _codes(tag: str, qualities: list[Quality]) -> list[int]:
    codes = list(map(int, qualities))
    if min(codes) < 0 or max(codes) >= NO_VALUE:
        raise LimitError(f"a quality of tag {tag!r} is outside 0..255: {min(codes)}..{max(codes)}")
    return codes


def _split(tag: str, moments: list[int], values: list[Value], codes: list[int]) -> list[TypedSeries]:
    """The slow path: several types, missing values, subclasses of the four types."""
    # A missing value repeats the one before it, or else the one to come: a delta of nothing.
    placeholder: Any = next((value for value in values if value is not None), 0)
    kind = _kind(tag, placeholder)
    parts: dict[type, tuple[list[int], list[int], list[Any]]] = {}
    for at_ns, value, code in zip(moments, values, codes, strict=True):
        if value is None:
            if code < Quality.UNCERTAIN:
                raise ValueError(f"a reading of tag {tag!r} has no value but quality {code}, which is good")
            code += NO_VALUE
        else:
            kind = _kind(tag, value)
            placeholder = kind(value)
        part = parts.setdefault(kind, ([], [], []))
        part[0].append(at_ns)
        part[1].append(code)
        part[2].append(placeholder)
    return [
        _series(tag, kind, tuple(part_moments), part_codes if any(part_codes) else None, part_values)
        for kind, (part_moments, part_codes, part_values) in parts.items()
    ]


def _kind(tag: str, value: Any) -> type:
    for kind in _TYPES:
        if isinstance(value, kind):
            return kind
    raise TypeError(f"value {value!r} of tag {tag!r} is a {type(value).__name__}, not float, int, bool or str")
