"""From what a device says to what it means: scale, offset and the limits of the sensor. Pure."""

import math
from collections.abc import Callable

from fieldline.model import Quality

__all__ = ["Scaler", "judged", "scaler", "whole_divisor"]

Scaler = Callable[[float], tuple[float, Quality]]

_INT64_MAX = (1 << 63) - 1


def scaler(
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    minimum: float | None = None,
    maximum: float | None = None,
    clamp: bool = False,
) -> Scaler:
    """A function from a raw number to (value, quality).

    The value is `raw * scale + offset` as a float, or the raw number itself (an int stays an int) where scale
    is 1 and offset 0. Outside [minimum, maximum], both in units of the value, the quality is BAD_RANGE and
    the value is kept, so that a person can see how far off it was; with `clamp` it is UNCERTAIN_CLAMPED and
    the value is the nearer limit. NaN and infinities are BAD_RANGE always:
    no sensor measures them. An int above the largest int64 becomes a float, because readings carry no larger
    ints.
    """
    low = -math.inf if minimum is None else minimum
    high = math.inf if maximum is None else maximum
    convert = _converter(scale, offset)

    def apply(raw: float) -> tuple[float, Quality]:
        value = convert(raw) if convert else raw
        if type(value) is int and value > _INT64_MAX:
            value = float(value)
        return judged(value, low, high, clamp=clamp)

    return apply


def judged(value: float, low: float, high: float, *, clamp: bool) -> tuple[float, Quality]:
    """The value, or the nearer of its limits, and how good it is."""
    # The difference is NaN, and so unequal to 0, for infinities and NaN.
    if value - value != 0:
        return value, Quality.BAD_RANGE
    if low <= value <= high:
        return value, Quality.GOOD
    if clamp:
        return (low if value < low else high), Quality.UNCERTAIN_CLAMPED
    return value, Quality.BAD_RANGE


def _converter(scale: float, offset: float) -> Callable[[float], float] | None:
    """A scale like 0.1 divides by 10: 214 / 10 is 21.4, while 214 * 0.1 is 21.400000000000002.

    The first is what the maker meant, reads well, and takes a fraction of the bytes on the wire.
    """
    if scale == 1 and offset == 0:
        return None
    divisor = whole_divisor(scale)
    if divisor is not None:
        return lambda raw: raw / divisor + offset
    return lambda raw: raw * scale + offset


def whole_divisor(scale: float) -> int | None:
    """10 for 0.1: what to divide by instead of multiplying; None if there is no such whole number."""
    if not 0 < abs(scale) < 1 or abs(scale) < 1e-15:
        return None
    divisor = round(1 / scale)
    return divisor if 1 / divisor == scale else None
