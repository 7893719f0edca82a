"""The functions a formula may call. Pure.

Python's own exceptions say what is wrong with a value: ZeroDivisionError, OverflowError, ValueError (no answer for this
argument), TypeError. The evaluator turns them into a quality and a reason.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

__all__ = ["FUNCTIONS", "Function", "Kind"]

_ARGUMENTS_MAX: Final = 32
_DIGITS_MAX: Final = 15


class Kind(Enum):
    """How the arguments of a function are computed."""

    PLAIN = "plain"  # all of them, as numbers
    LAZY = "lazy"  # as the function sees fit: if, default, ok
    STATEFUL = "stateful"  # the first is a tag, whose former readings are remembered


@dataclass(frozen=True, slots=True)
class Function:
    """A function: how many arguments it takes, and what it does with them (None unless it is plain)."""

    kind: Kind
    least: int
    most: int
    call: Callable[..., Any] | None
    usage: str


def _average(*values: float) -> float:
    return math.fsum(values) / len(values)


def _round(value: float, digits: float = 0) -> float:
    if not -_DIGITS_MAX <= digits <= _DIGITS_MAX:
        raise ValueError(f"round: {digits} digits")
    return round(value, int(digits)) if digits else round(value)


def _clamp(value: float, low: float, high: float) -> float:
    if low > high:
        raise ValueError(f"clamp: {low} is above {high}")
    return min(max(value, low), high)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _bit(value: float, place: float) -> bool:
    if not 0 <= place < 64:
        raise ValueError(f"bit: there is no bit {place}")
    return bool(int(value) >> int(place) & 1)


def _plain(call: Callable[..., Any], usage: str, least: int = 1, most: int = 1) -> Function:
    return Function(Kind.PLAIN, least, most, call, usage)


FUNCTIONS: Final[dict[str, Function]] = {
    "abs": _plain(abs, "abs(x)"),
    "min": _plain(min, "min(x, y, ...)", 2, _ARGUMENTS_MAX),
    "max": _plain(max, "max(x, y, ...)", 2, _ARGUMENTS_MAX),
    "avg": _plain(_average, "avg(x, y, ...)", 1, _ARGUMENTS_MAX),
    "hypot": _plain(math.hypot, "hypot(x, y, ...)", 2, _ARGUMENTS_MAX),
    "clamp": _plain(_clamp, "clamp(x, low, high)", 3, 3),
    "round": _plain(_round, "round(x) or round(x, digits)", 1, 2),
    "floor": _plain(math.floor, "floor(x)"),
    "ceil": _plain(math.ceil, "ceil(x)"),
    "trunc": _plain(math.trunc, "trunc(x)"),
    "sign": _plain(_sign, "sign(x)"),
    "sqrt": _plain(math.sqrt, "sqrt(x)"),
    "exp": _plain(math.exp, "exp(x)"),
    "ln": _plain(math.log, "ln(x)"),
    "log10": _plain(math.log10, "log10(x)"),
    "sin": _plain(math.sin, "sin(x), x in radians"),
    "cos": _plain(math.cos, "cos(x), x in radians"),
    "tan": _plain(math.tan, "tan(x), x in radians"),
    "atan2": _plain(math.atan2, "atan2(y, x), in radians", 2, 2),
    "pi": _plain(lambda: math.pi, "pi()", 0, 0),
    "bit": _plain(_bit, "bit(x, number), 0 is the least", 2, 2),
    "if": Function(Kind.LAZY, 3, 3, None, "if(test, then, else)"),
    "default": Function(Kind.LAZY, 2, 2, None, "default(x, instead)"),
    "ok": Function(Kind.LAZY, 1, 1, None, "ok(x)"),
    "delta": Function(Kind.STATEFUL, 1, 2, None, "delta(tag) or delta(tag, wraps_at)"),
    "rate": Function(Kind.STATEFUL, 1, 2, None, "rate(tag) or rate(tag, wraps_at), per second"),
    "integral": Function(Kind.STATEFUL, 1, 1, None, "integral(tag), value x seconds"),
}
