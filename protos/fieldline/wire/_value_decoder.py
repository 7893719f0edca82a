"""Integers of a series back as values, by mode."""

from array import array
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import add, truediv
from typing import Final

from fieldline.errors import DecodeError
from fieldline.model import Value
from fieldline.wire._modes import (
    BOOLEAN,
    DECIMAL,
    DECIMAL_FLOAT32,
    DECIMAL_ULP,
    EXACT_MAX,
    EXPONENT_MAX,
    FLOAT32,
    FLOAT64,
    INT64,
    INT64_MAX,
    INT64_MIN,
    MODE_STEP,
    POWERS,
    STRING,
    float32_of_ordered,
    float64_of_ordered,
    ordered_float64,
    wrap,
)

__all__ = ["check_encoding", "decode_values"]

_INT32_MIN: Final = -(1 << 31)
_INT32_MAX: Final = (1 << 31) - 1


def check_encoding(enc: int) -> None:
    """DecodeError unless `enc` is a known mode with an exponent that mode may have."""
    mode, exponent = divmod(enc, MODE_STEP)
    if mode > STRING:
        raise DecodeError(f"value mode {mode} is not known: update this program")
    if exponent > (EXPONENT_MAX if mode <= DECIMAL_FLOAT32 else 0):
        raise DecodeError(f"value mode {mode} cannot have exponent {exponent}")


def decode_values(enc: int, numbers: list[int], ulps: list[int], strings: Sequence[str]) -> Sequence[Value]:
    """The values that `numbers` (signed 64-bit) stand for; DecodeError for a number its mode does not allow.

    `enc` has passed check_encoding; `ulps` has as many entries for DECIMAL_ULP.
    """
    mode, exponent = divmod(enc, MODE_STEP)
    if mode == INT64:
        return numbers
    if mode == STRING:
        _check_range(numbers, 0, len(strings) - 1, "string index")
        return [strings[index] for index in numbers]
    if mode == DECIMAL_ULP:
        assert len(ulps) == len(numbers)
        near = ordered_float64(_decimals(numbers, exponent))
        moved = list(map(add, near, ulps))
        if min(moved) < INT64_MIN or max(moved) > INT64_MAX:
            moved = list(map(wrap, moved))
        return float64_of_ordered(moved)
    return _BY_MODE[mode](numbers, exponent)


def _decimals(numbers: list[int], exponent: int) -> list[float]:
    _check_range(numbers, 1 - EXACT_MAX, EXACT_MAX - 1, "decimal")
    if exponent == 0:
        return list(map(float, numbers))
    return list(map(truediv, numbers, repeat(POWERS[exponent])))


def _decimals_float32(numbers: list[int], exponent: int) -> list[float]:
    # Below 2^53 nothing reaches the end of the float32 range, so this cannot overflow.
    return array("f", _decimals(numbers, exponent)).tolist()


def _float32(numbers: list[int], exponent: int) -> list[float]:
    _check_range(numbers, _INT32_MIN, _INT32_MAX, "float32 pattern")
    return float32_of_ordered(numbers)


def _float64(numbers: list[int], exponent: int) -> list[float]:
    return float64_of_ordered(numbers)


def _booleans(numbers: list[int], exponent: int) -> list[bool]:
    _check_range(numbers, 0, 1, "boolean")
    return list(map(bool, numbers))


def _check_range(numbers: list[int], low: int, high: int, what: str) -> None:
    if min(numbers) < low or max(numbers) > high:
        raise DecodeError(f"{what} {min(numbers)}..{max(numbers)} is outside {low}..{high}")


_BY_MODE: Final[dict[int, Callable[[list[int], int], Sequence[Value]]]] = {
    DECIMAL: _decimals,
    DECIMAL_FLOAT32: _decimals_float32,
    FLOAT32: _float32,
    FLOAT64: _float64,
    BOOLEAN: _booleans,
}
