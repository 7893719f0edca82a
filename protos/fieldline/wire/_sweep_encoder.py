"""A sweep, one reading for each of many tags, as the Columns message: what a poll brings, and so the commonest batch.

Where every series has a single reading there is nothing to predict: each column is one number. What a sweep shares
with the one before it (names, types, how floats are written) is remembered; that the floats are still said exactly is
checked every time, bit for bit.
"""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from math import gcd
from operator import attrgetter, itemgetter
from typing import Any, Final

from fieldline.limits import BATCH_STRING_BYTES_MAX, BATCH_STRINGS_BYTES_MAX
from fieldline.model import Quality, Reading
from fieldline.v1.readings_pb2 import Columns
from fieldline.wire._modes import (
    BOOLEAN,
    DECIMAL_ULP,
    FLOAT32,
    INT64,
    INT64_MAX,
    INT64_MIN,
    MODE_STEP,
    NO_VALUE,
    TIME_EXPONENTS,
)
from fieldline.wire._value_encoder import Hint, encode_as

__all__ = ["Sweeps"]

_TAG = attrgetter("tag")
_AT = attrgetter("at_ns")
_VALUE = attrgetter("value")
_QUALITY = attrgetter("quality")
_NONE: Final = type(None)
_SWEEP_READINGS_MAX: Final = 1024
_SHAPES_MAX: Final = 64  # a device has few poll groups, and few ways to answer in part
_USES_MAX: Final = 16  # sweeps that a wide mode serves before a narrower one is looked for again


@dataclass(frozen=True, slots=True)
class _Floats:
    """Positions whose floats are written in one encoding, and how to take them out of a sweep."""

    enc: int
    positions: tuple[int, ...]
    take: Callable[[Sequence[Any]], Any]

    def of(self, values: Sequence[Any]) -> list[float]:
        """The floats themselves: itemgetter gives a bare value where there is one position only."""
        return list(self.take(values)) if len(self.positions) > 1 else [self.take(values)]


@dataclass(slots=True)
class _Plan:
    """How the values of a sweep are written: one encoding for each series."""

    kinds: tuple[type, ...]
    encodings: list[int]
    floats: list[_Floats]
    booleans: list[int]
    is_wide: bool
    uses: int = 0


@dataclass(slots=True)
class _Shape:
    """What all sweeps of the same tags share: their names as they stand in the message, and the last plan."""

    names: bytes
    plan: _Plan | None = None


class Sweeps:
    """Encodes sweeps with names inside. `hints` is shared with the general encoder, which learns them."""

    def __init__(self, hints: MutableMapping[str, Hint]) -> None:
        self._hints = hints
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def encode(self, readings: Sequence[Reading]) -> bytes | None:
        """`readings` as serialised Columns; None where the general encoder has to do it.

        That is: a tag that stands twice, texts, integers beyond 64 bits, floats whose encoding is not known yet or
        does not serve any more, and everything that will be refused.
        """
        if not 0 < len(readings) <= _SWEEP_READINGS_MAX:
            return None
        shape = self._shape(tuple(map(_TAG, readings)))
        if shape is None:
            return None
        values = list(map(_VALUE, readings))
        codes = _codes(values, list(map(_QUALITY, readings)))
        plan = self._plan(shape, readings, tuple(map(type, values)))
        if codes is None or plan is None:
            return None
        integers = _integers(plan, values)
        if integers is None:
            shape.plan = None
            return None
        return _message(list(map(_AT, readings)), plan.encodings, integers, codes, shape.names)

    def _shape(self, tags: tuple[str, ...]) -> _Shape | None:
        try:
            return self._shapes[tags]
        except KeyError:
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            shape = self._shapes[tags] = _new_shape(tags)
            return shape

    def _plan(self, shape: _Shape, readings: Sequence[Reading], kinds: tuple[type, ...]) -> _Plan | None:
        plan = shape.plan
        if plan is None or plan.kinds != kinds:
            plan = shape.plan = _new_plan(readings, kinds, self._hints)
        elif plan.is_wide:
            plan.uses += 1
            if plan.uses > _USES_MAX:
                for floats in plan.floats:
                    for position in floats.positions:
                        self._hints.pop(readings[position].tag, None)
                plan = shape.plan = None
        return plan


def _new_shape(tags: tuple[str, ...]) -> _Shape | None:
    if len(set(tags)) < len(tags):
        return None
    try:
        sizes = [len(tag.encode()) for tag in tags]
    except UnicodeEncodeError:
        return None
    if max(sizes) > BATCH_STRING_BYTES_MAX or sum(sizes) > BATCH_STRINGS_BYTES_MAX:
        return None
    return _Shape(Columns(names=tags).SerializeToString())


def _new_plan(readings: Sequence[Reading], kinds: tuple[type, ...], hints: MutableMapping[str, Hint]) -> _Plan | None:
    encodings: list[int] = []
    alike: dict[int, list[int]] = {}
    for position, kind in enumerate(kinds):
        enc = INT64 * MODE_STEP
        if kind is bool:
            enc = BOOLEAN * MODE_STEP
        elif kind is float:
            hint = hints.get(readings[position].tag)
            if hint is None or hint.enc // MODE_STEP == DECIMAL_ULP:
                return None
            enc = hint.enc
            alike.setdefault(enc, []).append(position)
        elif kind is not int and kind is not _NONE:
            return None
        encodings.append(enc)
    floats = [_Floats(enc, tuple(positions), itemgetter(*positions)) for enc, positions in alike.items()]
    booleans = [position for position, kind in enumerate(kinds) if kind is bool]
    return _Plan(kinds, encodings, floats, booleans, is_wide=any(enc >= FLOAT32 * MODE_STEP for enc in alike))


def _codes(values: list[Any], qualities: list[Quality]) -> list[int] | None:
    """Quality codes, [] where all are good; missing values become 0. None: something is wrong with one of them."""
    if not any(qualities):
        return None if None in values else []
    codes = list(map(int, qualities))
    if min(codes) < 0 or max(codes) >= NO_VALUE:
        return None
    for position, value in enumerate(values):
        if value is None:
            if codes[position] < Quality.UNCERTAIN:
                return None
            values[position] = 0
            codes[position] += NO_VALUE
    return codes


def _integers(plan: _Plan, values: list[Any]) -> list[int] | None:
    """The number that stands for each value; None where a float cannot be said so, or an integer is too large."""
    for floats in plan.floats:
        encoded = encode_as(floats.of(values), floats.enc)
        if encoded is None or encoded.ulps is not None:
            return None
        for position, number in zip(floats.positions, encoded.integers, strict=True):
            values[position] = number
    for position in plan.booleans:
        values[position] = int(values[position])
    if max(values) > INT64_MAX or min(values) < INT64_MIN:
        return None
    return values


def _message(
    at_ns: list[int], encodings: list[int], integers: list[int], codes: list[int], names: bytes
) -> bytes | None:
    axes = {moment: number for number, moment in enumerate(dict.fromkeys(at_ns))}
    t0_ns, last_ns = min(axes), max(axes)
    if t0_ns < INT64_MIN or last_ns > INT64_MAX or last_ns - t0_ns > INT64_MAX:
        return None
    moments = [moment - t0_ns for moment in axes]
    common = gcd(*moments)
    t_exp = next(exponent for exponent in TIME_EXPONENTS if common % 10**exponent == 0)
    if len(axes) == 1:
        axis = [0] * len(at_ns)
    else:
        places = [axes[moment] for moment in at_ns]
        axis = [place - before for place, before in zip(places, [0, *places], strict=False)]
    message = Columns(
        version=1,
        count=len(at_ns),
        t0_ns=t0_ns,
        t_exp=t_exp,
        axis=axis,
        axis_len=[1] * len(axes),
        enc=encodings,
        col=[0] * (len(axes) + len(at_ns)),
        head=[*(moment // 10**t_exp for moment in moments), *integers],
    )
    if any(codes):
        positions = [position for position, code in enumerate(codes) if code]
        message.q_pos.extend([place - before for place, before in zip(positions, [0, *positions], strict=False)])
        message.q_code.extend(filter(None, codes))
    return message.SerializeToString() + names
