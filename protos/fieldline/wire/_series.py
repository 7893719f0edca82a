"""Readings in the order of the wire: tag after tag, and within a tag one type of value after the other."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, Final, NamedTuple

from fieldline.errors import LimitError
from fieldline.model import Quality, Reading
from fieldline.wire._modes import NO_VALUE

__all__ = ["SeriesMajor", "series_major"]

_AT = attrgetter("at_ns")
_VALUE = attrgetter("value")
_QUALITY = attrgetter("quality")
_TYPES: Final = (bool, float, int, str)  # bool first: it is an int, too


class SeriesMajor(NamedTuple):
    """All readings as flat columns; series number i is at bounds[i] to bounds[i + 1].

    Flat columns, because a poll brings one reading for each of many tags, and then work per series is what costs.
    Every value of a series is exactly of its kind. `codes` are quality codes, with NO_VALUE added where the value is
    only a placeholder; None if all are good.
    """

    tags: list[str]
    kinds: list[type]
    bounds: list[int]
    at_ns: list[int]
    values: list[Any]
    codes: list[int] | None


def series_major(readings: Iterable[Reading], tag_ids: Mapping[str, int] | None) -> SeriesMajor:
    """`readings` by tag (ascending ids, else as tags appear) and type; within both they keep their order.

    LimitError for a quality beyond 0..255, ValueError for a good reading without a value or a tag without an id,
    TypeError for a value of a type that cannot be sent; all name the tag.
    """
    groups: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.tag].append(reading)
    tags = list(groups) if tag_ids is None else _by_id(groups.keys(), tag_ids)
    ordered = list(chain.from_iterable(map(groups.__getitem__, tags)))
    bounds = [0]
    for tag in tags:
        bounds.append(bounds[-1] + len(groups[tag]))
    values = list(map(_VALUE, ordered))
    qualities = list(map(_QUALITY, ordered))
    codes = _codes(ordered, qualities) if any(qualities) else None
    kinds = set(map(type, values))
    flat = SeriesMajor(tags, [*kinds] * len(tags), bounds, list(map(_AT, ordered)), values, codes)
    return flat if len(kinds) == 1 and kinds.issubset(_TYPES) else _typed(flat)


def _by_id(tags: Iterable[str], tag_ids: Mapping[str, int]) -> list[str]:
    try:
        return sorted(tags, key=tag_ids.__getitem__)
    except KeyError as error:
        raise ValueError(f"tag {error} has no id: add it to the tag table, or send names") from error


def _codes(readings: list[Reading], qualities: Sequence[int]) -> list[int]:
    codes = list(map(int, qualities))
    if min(codes) < 0 or max(codes) >= NO_VALUE:
        wrong = next(reading for reading in readings if not 0 <= reading.quality < NO_VALUE)
        raise LimitError(f"quality {int(wrong.quality)} of tag {wrong.tag!r} is outside 0..{NO_VALUE - 1}")
    return codes


def _typed(flat: SeriesMajor) -> SeriesMajor:
    """`flat`, which is by tag only, by type as well."""
    codes = flat.codes or [0] * len(flat.values)
    typed = SeriesMajor([], [], [0], flat.at_ns, flat.values, codes)
    for tag, (start, end) in zip(flat.tags, pairwise(flat.bounds), strict=True):
        kinds = set(map(type, flat.values[start:end]))
        if len(kinds) == 1 and kinds.issubset(_TYPES):
            parts = {kinds.pop(): end - start}
        else:
            parts = _split(tag, typed, start, end)
        for kind, size in parts.items():
            typed.tags.append(tag)
            typed.kinds.append(kind)
            typed.bounds.append(typed.bounds[-1] + size)
    return typed


def _split(tag: str, typed: SeriesMajor, start: int, end: int) -> dict[type, int]:
    """Sort one tag's readings by type, in place; the size of each type's part.

    The slow path, for several types, missing values and subclasses of the types we know. A missing value repeats
    the one before it, or else the first to come: a delta of nothing.
    """
    assert typed.codes is not None
    values = typed.values[start:end]
    placeholder = next((value for value in values if value is not None), 0)
    kind = _kind(tag, placeholder)
    parts: dict[type, list[tuple[int, Any, int]]] = {}
    for at_ns, value, code in zip(typed.at_ns[start:end], values, typed.codes[start:end], strict=True):
        if value is not None:
            kind = _kind(tag, value)
            placeholder = value
        elif code < Quality.UNCERTAIN:
            raise ValueError(f"a reading of tag {tag!r} has no value but quality {code}, which is good")
        missing = NO_VALUE if value is None else 0
        parts.setdefault(kind, []).append((at_ns, kind(placeholder), code + missing))
    rows = [row for part in parts.values() for row in part]
    typed.at_ns[start:end] = [row[0] for row in rows]
    typed.values[start:end] = [row[1] for row in rows]
    typed.codes[start:end] = [row[2] for row in rows]
    return {kind: len(part) for kind, part in parts.items()}


def _kind(tag: str, value: Any) -> type:
    for kind in _TYPES:
        if isinstance(value, kind):
            return kind
    raise TypeError(f"value {value!r} of tag {tag!r} is a {type(value).__name__}, not float, int, bool or str")
